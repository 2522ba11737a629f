"""Several files and tables, in the commands that read data."""

from pathlib import Path

import pytest
import yaml
from run_command import ROOT, run

COUNTS = ("fit", "--config", ROOT / "configs/bigram_counts.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, words_text: str) -> Path:
    """A folder with a list in two parts, the whole list, and a table of it."""
    folder = tmp_path_factory.mktemp("lists")
    lines = words_text.splitlines()
    (folder / "a.txt").write_text("\n".join(lines[:20]), encoding="utf-8")
    (folder / "b.txt").write_text("\n".join(lines[20:]), encoding="utf-8")
    (folder / "whole.txt").write_text(words_text, encoding="utf-8")
    (folder / "table.csv").write_text("n,word\n" + "".join(f"{i},{w}\n" for i, w in enumerate(lines)), encoding="utf-8")
    (folder / "list.yaml").write_text(yaml.safe_dump({"data": {"path": ["a.txt", "b.txt"]}}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "options",
    [("--data.path", "a.txt,b.txt"), ("--config", "list.yaml"), ("--data.path", "table.csv", "--data.item", "word")],
    ids=["commas", "config", "table"],
)
def test_the_parts_are_the_whole_list(folder: Path, tmp_path: Path, options: tuple[str, ...]):
    """Catches a checkpoint that forgets the files or the column, and a command that reads only one of them."""
    root = ("--trainer.default_root_dir", tmp_path)
    whole = run(*COUNTS, "--data.path", "whole.txt", *root, cwd=folder)
    parts = run(*COUNTS, *options, *root, cwd=folder)
    assert parts.returncode == whole.returncode == 0, parts.stderr
    assert parts.stdout.splitlines()[0] == whole.stdout.splitlines()[0]  # the same loss and samples
    for command in (("validate",), ("quality", "--num_samples", "50"), ("plot", "--output", tmp_path / "plots")):
        outputs = [
            run(*command, "--ckpt_path", tmp_path / f"lightning_logs/version_{i}/checkpoints/last.ckpt", cwd=folder)
            for i in (0, 1)
        ]
        assert outputs[1].returncode == 0, outputs[1].stderr
        assert outputs[0].stdout.replace("version_0", "version_1") == outputs[1].stdout


def test_report_reads_tables_and_several_files(folder: Path):
    """Catches a report of another list than fit trains on."""
    whole = run("report", "--data.path", "whole.txt", cwd=folder)
    parts = run("report", "--data.path", "a.txt,b.txt", cwd=folder)
    table = run("report", "--data.path", "table.csv", "--data.item", "word", cwd=folder)
    assert parts.returncode == table.returncode == 0, parts.stderr + table.stderr
    assert parts.stdout.splitlines()[1:3] == whole.stdout.splitlines()[1:3] == table.stdout.splitlines()[1:3]
    missing = run("report", "--data.path", "table.csv", cwd=folder)
    assert missing.stderr.startswith("error: table.csv is a table with the columns n, word; set --data.item")
    assert len(missing.stderr.splitlines()) == missing.returncode == 1
