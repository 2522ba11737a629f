"""Several files as one list."""

import re
from pathlib import Path

import numpy as np
import pytest

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.files.lists import join_files, read_files, split_paths
from mm_lightning.data.files.tables import Columns
from mm_lightning.evaluation.data_report import describe


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "girls.txt").write_text("anna\neva\nkim\nlea\nida\n", encoding="utf-8")
    (tmp_path / "boys.txt").write_text("\nbob\nkim\nuwe\nøle\njan\n", encoding="utf-8")
    (tmp_path / "a,b.txt").write_text("anna\n", encoding="utf-8")
    (tmp_path / "table.csv").write_text("name,sex\nbob,M\nuwe,M\n", encoding="utf-8")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/girls.txt").write_text("mia\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("path", ["girls.txt,boys.txt", "girls.txt, boys.txt", ["girls.txt", "boys.txt"]])
def test_files_are_one_list(folder: Path, path: str | list[str]):
    """Catches files in another order, characters of one file cut to bytes, and a repeat dropped."""
    items, labels = join_files(read_files(path, Columns()))
    assert list(items) == ["anna", "eva", "kim", "lea", "ida", "bob", "kim", "uwe", "øle", "jan"]
    assert labels == []
    assert sum(map(len, ItemsDataModule(path).splits.all)) == 10
    assert sum(map(len, ItemsDataModule(path, split="unique").splits.all)) == 9


def test_a_comma_may_belong_to_a_name(folder: Path):
    """Catches a file that cannot be named because of its comma."""
    assert split_paths("a,b.txt") == ["a,b.txt"]
    assert split_paths(["a,b.txt", "girls.txt"]) == ["a,b.txt", "girls.txt"]
    assert split_paths("a,c.txt") == ["a", "c.txt"]


@pytest.mark.parametrize(
    ("path", "columns", "message"),
    [
        ("girls.txt,absent.txt", Columns(), "absent.txt: no such file"),
        ("girls.txt,", Columns(), "data.path is 'girls.txt,', which has no path or an empty one"),
        ([], Columns(), "data.path is [], which has no path"),
        ("girls.txt,table.csv", Columns(), "table.csv is a table with the columns name, sex"),
        ("table.csv,girls.txt", Columns("name"), "data.item is name, which is no column of girls.txt"),
        ("girls.txt,x/girls.txt", Columns(None, "file"), "girls.txt and x/girls.txt have the same name"),
        ("girls.txt", Columns(None, "sex"), "data.label is sex, but girls.txt has no columns"),
        ("girls.txt", Columns(None, None, "n"), "data.weight is n, but girls.txt has no columns"),
    ],
)
def test_errors_name_the_file(folder: Path, path: str | list[str], columns: Columns, message: str):
    """Catches an error that leaves open which of the files is meant."""
    with pytest.raises(ValueError, match=re.escape(message)):
        read_files(path, columns)


def test_an_unknown_character_names_its_file(folder: Path):
    """Catches a search through all files for a character of one of them."""
    data = ItemsDataModule("girls.txt,boys.txt", alphabet="abdeijklmnouvw")
    with pytest.raises(ValueError, match=re.escape("boys.txt has characters that the model does not know: 'ø'")):
        data.setup("fit")


def test_a_report_names_file_and_line(folder: Path):
    """Catches lines counted on from one file to the next."""
    found = describe("girls.txt,boys.txt", "lecture")
    assert (found["items"], found["different"], found["path"]) == (10, 9, "girls.txt,boys.txt")
    rare = found["suspicious"]["rare"]["shown"]
    assert {"file": "boys.txt", "line": 5, "item": "øle", "characters": "ø"} in rare
    assert {"file": "girls.txt", "line": 3, "item": "kim", "characters": "m"} not in rare
    (folder / "boys.csv").write_text("name\n" + "\n\n".join(["bob", "uwe", "ole", "jan", "bobø"]), encoding="utf-8")
    table = describe("table.csv,boys.csv", "lecture", Columns("name"))["suspicious"]["rare"]["shown"]
    assert {"file": "boys.csv", "line": 10, "item": "bobø", "characters": "ø"} in table


def test_the_label_can_be_the_name_of_the_file(folder: Path):
    """Catches labels in the order of the files, and items with the label of another file."""
    items, names = join_files(read_files("girls.txt,boys.txt", Columns(None, "file")))
    assert names == ["boys", "girls"]
    assert items.labels is not None
    assert items.labels.tolist() == [1] * 5 + [0] * 5
    merged = items.unique()
    assert len(merged) == 10  # kim of each
    assert np.array_equal(items.take(np.array([6, 0])).labels, [0, 1])


def test_files_of_one_name_may_have_a_column_of_labels(folder: Path):
    """Catches tables refused for their names, which give no label where they have a column `file`."""
    for name, label in (("girls.csv", "old"), ("x/girls.csv", "new")):
        (folder / name).write_text(f"name,file\nmia,{label}\n", encoding="utf-8")
    items, names = join_files(read_files("girls.csv,x/girls.csv", Columns("name", "file")))
    assert names == ["new", "old"]
    assert items.labels is not None
    assert items.labels.tolist() == [1, 0]
