"""Text files of any content: a description, items, ids and splits that agree with each other, or one line."""

import json
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from limited import fault, run_limited
from run_command import FIT, run

from mm_lightning import UserError
from mm_lightning.commands.report import as_text
from mm_lightning.data.encoding import encode
from mm_lightning.data.files import reading, text
from mm_lightning.data.files.reading import MAX_LENGTH, parse_items, read_items
from mm_lightning.data.splits import split_items
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary
from mm_lightning.evaluation.data_report import describe

SCRIPTS = "aAzé.\x00\t \u00a0\u0301\u05d0\u0661\u200b\u200d\u2028\u3000\ufeffदेत한國\U0001f469\U000e0001\U0010ffff"
LINES = st.lists(st.text(SCRIPTS, max_size=8) | st.text(max_size=4) | st.just(" " * 3000), max_size=30)
TEXTS = st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n", "\n\n", "\u2028"])).map(lambda x: x[1].join(x[0]))
CONTENTS = st.one_of(
    st.binary(max_size=60),
    TEXTS.map(lambda x: x.encode("utf-8", "surrogatepass")),
    TEXTS.map(lambda x: b"\xef\xbb\xbf" + x.encode("utf-8", "surrogatepass")),
    TEXTS.map(lambda x: x.encode("utf-16", "surrogatepass")),
)
QUICK = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def check(path: Path, content: bytes) -> bool:
    """Check all that is done with a file; return whether the file is accepted."""
    path.write_bytes(content)
    try:
        items = read_items(path)
    except UserError as error:
        assert 0 < len(str(error)) < 500
        assert "\n" not in str(error)
        return False
    decoded = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    lines = [line.strip() for line in re.split(r"[\r\n]", decoded)]
    assert list(items) == [line for line in lines if line]
    assert "\0" not in decoded
    check_ids(list(items), items)
    for how in ("lecture", "unique"):
        check_split(path, items, how)
    return True


def check_ids(strings, items):
    """Encode and decode, by characters and by words."""
    for vocabulary in (Vocabulary(items.alphabet()), WordVocabulary.from_sentences(items, None)):
        encoded = encode(items, vocabulary)
        ids = encoded.stream[encoded.stream != 0].numpy().astype(np.int64)
        spaced = [" ".join(string.split()) for string in strings]
        is_words = isinstance(vocabulary, WordVocabulary)
        assert vocabulary.decode_all(ids, encoded.lengths.numpy()) == (spaced if is_words else strings)
        assert len(vocabulary.symbols()) == len(vocabulary)


def check_split(path, items, how):
    """Divide and describe."""
    expected = len(items) if how == "lecture" else len(set(items))
    try:
        splits = split_items(items, how, str(path))
    except UserError as error:
        assert expected < 6
        assert "at least 6 are needed" in str(error)
        return
    assert sum(map(len, splits.all)) == expected
    assert sorted(item for part in splits.all for item in part) == sorted(items if how == "lecture" else set(items))
    report = describe(str(path), how)
    assert report["items"] == len(items)
    assert sum(report["characters"].values()) == len(items.code_points)
    assert json.loads(json.dumps(report)) == report
    assert as_text(report).encode("utf-8")


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_any_file_is_read_or_refused_in_one_line(tmp_path, count):
    """Catches a traceback, an item that changes on its way, and parts that do not add up to the whole."""
    accepted = []

    @settings(max_examples=count, phases=(Phase.explicit, Phase.generate), **QUICK)
    @given(content=CONTENTS)
    @example(content=b"")
    @example(content=b"\xef\xbb\xbf\xef\xbb\xbfab\n" * 12)  # a BOM in the middle is a character
    @example(content="a\u2028b\n".encode() * 12)
    @example(content=b"\xed\xa0\x80\n" * 12)  # a lone surrogate is not UTF-8
    @example(content="".join(map(chr, range(0x4E00, 0x9000))).encode())
    def property_of(content):
        accepted.append(check(tmp_path / "items.txt", content))

    property_of()
    print(f"{len(accepted)} files, {sum(accepted)} accepted")
    assert len(accepted) >= count
    assert sum(accepted) > count / 4


@pytest.mark.parametrize("size", range(13))
def test_files_of_few_items(tmp_path, size):
    """Catches a size at which a split is empty and nobody says so, or a description divides by zero."""
    path = tmp_path / "few.txt"
    path.write_text("".join(f"item{i}\n" for i in range(size)))
    described = run("report", "--data.path", path, cwd=tmp_path)
    assert fault(described, tmp_path) is None
    assert described.returncode == (0 if size >= 6 else 1), described.stderr


@pytest.mark.parametrize("size", [1, 5, 6, 7])
def test_a_fit_of_few_items(tmp_path, size):
    """Catches a batch without examples, and a run folder without a checkpoint."""
    (tmp_path / "few.txt").write_text("".join(f"item{i}\n" for i in range(size)))
    done = run_limited(*FIT, "--data.path", "few.txt", "--trainer.max_steps", 3, cwd=tmp_path)
    assert fault(done, tmp_path) is None
    assert done.returncode == (0 if size >= 6 else 1), done.stderr


def test_white_space_is_stripped_in_one_pass(monkeypatch):
    """Catches a pass over the text for each blank at a border: five million blanks took minutes."""
    passes = []
    monkeypatch.setattr(text, "is_space", lambda points, real=text.is_space: passes.append(len(points)) or real(points))
    content = f"{' ' * 100_000}a{' ' * 100_000}\n"
    assert list(parse_items(f"{content}{content}b", "text")) == ["a", "a", "b"]
    assert sum(passes) <= 2 * len(content) + 100


def test_a_large_alphabet_is_described(tmp_path):
    """Catches a description whose time grows with the square of the alphabet, and one too long to read."""
    path = tmp_path / "many.txt"
    characters = [chr(c) for c in range(0x3400, 0x1F000) if not 0xD800 <= c < 0xE000 and not chr(c).isspace()]
    path.write_text("\n".join(characters), encoding="utf-8")
    done = run_limited("report", "--data.path", path, cwd=tmp_path)
    assert fault(done, tmp_path) is None
    assert f"alphabet: {len(characters)} characters" in done.stdout
    assert len(done.stdout) < 10_000
    refused = run_limited(*FIT, "--data.path", path, "--model.network", "mm_lightning.networks.Bigram", cwd=tmp_path)
    assert "model.network needs" in refused.stderr.splitlines()[-1], refused.stderr
    assert fault(refused, tmp_path) is None


def test_a_pipe_can_be_described_and_trained_on(tmp_path):
    """Catches a file that is read twice: the second time a pipe is empty."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = "".join(f"{a}{b}{c}\n" for a in "bdk" for b in "aeiou" for c in "lmn") + "é" * 30
    for command in (("report",), (*FIT, "--trainer.max_steps", 3)):
        writer = threading.Thread(target=pipe.write_text, args=(content, "utf-8"))
        writer.start()
        done = run_limited(*command, "--data.path", pipe, cwd=tmp_path)
        writer.join()
        assert (done.returncode, fault(done, tmp_path)) == (0, None), done.stderr


def test_a_file_without_an_end_is_refused(tmp_path, monkeypatch):
    """Catches a read of /dev/zero until the memory is full."""
    done = run_limited("report", "--data.path", "/dev/zero", cwd=tmp_path)
    assert done.stderr.startswith("error: /dev/zero is no regular file"), done.stderr
    monkeypatch.setattr(reading, "_MAX_STREAM_BYTES", 1000)
    path = tmp_path / "regular.txt"
    path.write_text("ab\n" * 1000)
    assert len(read_items(path)) == 1000


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x" * 300, "File name too long"),
        ("data/" + "x" * 300, "no such file|File name too long"),
        ("x/" * 3000, "File name too long"),
        ("a\x00b", "is no file name"),
        ("", "has no path or an empty one"),
        (".", "is a folder"),
        ("/dev/null", "is empty"),
        ("long.txt/x", "Not a directory"),
    ],
)
def test_a_name_that_the_system_refuses_is_one_line(tmp_path, monkeypatch, path, message):
    """Catches a traceback of the look-up of shipped files, which tried every argument as a path."""
    monkeypatch.chdir(tmp_path)
    Path("long.txt").write_text("x" * (MAX_LENGTH + 1))
    with pytest.raises(UserError, match=message):
        describe(path, "lecture")


def test_a_file_that_may_not_be_read_is_one_line(tmp_path):
    """Catches a traceback for a file of somebody else."""
    path = tmp_path / "secret.txt"
    path.write_text("ab\n" * 12)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read every file")
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        read_items(path)
