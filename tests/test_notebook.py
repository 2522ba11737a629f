"""The notebook: its cells are those of the text source, its outputs are real, and it runs from scratch."""

import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from run_command import ROOT

sys.path.append(str(ROOT / "notebooks"))
from build import NOTEBOOK, executed, unexecuted

MAX_BYTES = 300_000  # of the notebook with its pictures
FEW_STEPS = 30


@pytest.fixture(scope="module")
def committed() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def kinds_of_outputs(notebook: NotebookNode) -> list[list[str]]:
    """What each code cell shows: text, values or pictures."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [[output.get("name") or max(output.data, key=len) for output in cell.outputs] for cell in cells]


def test_the_notebook_is_made_of_its_source(committed: NotebookNode):
    """Catches a change of the source without a new run, and an edit of the notebook that the next run would lose."""
    cells = [[(cell.cell_type, cell.id, cell.source) for cell in each.cells] for each in (unexecuted(), committed)]
    assert cells[0] == cells[1], "run notebooks/build.py"


def test_the_committed_outputs_are_clean(committed: NotebookNode):
    """Catches a notebook that is heavy, was run out of order, or names folders of the machine it was made on."""
    nbformat.validate(committed)
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not any(folder in text for folder in (str(ROOT), str(Path.home()), tempfile.gettempdir(), "lightning_logs"))


@pytest.mark.slow
def test_the_notebook_runs(committed: NotebookNode):
    """Catches a cell that fails, that prints a warning, or whose output has gone."""
    fresh = kinds_of_outputs(executed(FEW_STEPS))
    assert fresh == kinds_of_outputs(committed)
    assert not any("stderr" in kinds for kinds in fresh)
