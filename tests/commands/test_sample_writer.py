"""The writer of sampled items: the file appears complete or not at all."""

from types import SimpleNamespace

import pytest

from mm_lightning import UserError
from mm_lightning.commands.parts.samples import SampleOutput
from mm_lightning.commands.predict import SampleWriter
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.output import OutputFormat


def make_writer(path):
    options = SamplingOptions(output=path)
    return SampleWriter(SimpleNamespace(options=options, format=OutputFormat(options, Vocabulary("ab"))))


def test_the_file_appears_when_complete(tmp_path):
    """Catches a half-written file that another program reads."""
    path = tmp_path / "items.csv"
    writer = make_writer(path)
    assert not path.exists()
    writer.on_predict_end(None, None)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("items.csv", "word,nll,new\n")]


def test_an_error_leaves_no_file(tmp_path):
    """Catches a partial file that stays behind, and a file of an earlier run that is lost."""
    path = tmp_path / "items.txt"
    path.write_text("earlier\n")
    make_writer(path).on_exception(None, None, RuntimeError())
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("items.txt", "earlier\n")]


def test_a_file_that_cannot_be_written_is_an_error_of_the_user(tmp_path):
    """Catches a traceback for a missing folder or a full disk."""
    with pytest.raises(UserError, match=r"sampling.output: .* cannot be written: No such file or directory"):
        make_writer(tmp_path / "missing" / "items.txt")
    writer = make_writer(tmp_path / "items.txt")
    with pytest.raises(UserError, match=r"sampling.output: .* cannot be written: No space left on device"):
        writer.on_exception(None, None, OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_sorted_items_that_cannot_be_written_are_an_error_of_the_user(tmp_path):
    """Catches a traceback for a disk that is full when the items are sorted, and a partial file that stays."""

    def full(rows):
        raise OSError(28, "No space left on device")

    options = SamplingOptions(output=tmp_path / "items.txt", sort="alphabet")
    output = SampleOutput(SimpleNamespace(options=options, format=SimpleNamespace(header="", lines=full, ordered=list)))
    with pytest.raises(UserError, match=r"sampling.output: .* cannot be written: No space left on device"), output:
        pass
    assert list(tmp_path.iterdir()) == []
