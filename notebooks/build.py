"""Make makemore.ipynb from its text source, makemore.py: run every cell, and keep the outputs.

    uv run python notebooks/build.py

Edit makemore.py and run this script; never edit the notebook by hand.
"""

import base64
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

SOURCE = Path(__file__).with_name("makemore.py")
NOTEBOOK = SOURCE.with_suffix(".ipynb")
_STEPS = "STEPS = 700"
_OPTIONS = {"timeout": 600, "record_timing": False, "coalesce_streams": True}  # seconds, for one cell
_COLOURS = 48  # of a picture; more make the file several times larger and look the same


def unexecuted() -> NotebookNode:
    """The notebook of the text source, without outputs; ids of cells are their numbers, the same at each run."""
    notebook = jupytext.read(SOURCE)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
    notebook.metadata.pop("jupytext", None)
    return notebook


def executed(steps: int | None = None) -> NotebookNode:
    """The notebook with the outputs of a run in an empty folder.

    Args:
        steps: Optimiser steps of each training; None for those of the source.

    Raises:
        CellExecutionError: If a cell fails.
    """
    notebook = unexecuted()
    if steps is not None:
        (cell,) = (cell for cell in notebook.cells if _STEPS in cell.source)
        cell.source = cell.source.replace(_STEPS, f"STEPS = {steps}")
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, **_OPTIONS, resources=resources).execute()
    notebook.metadata.pop("language_info", None)  # names the Python of this machine
    for data in (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())):
        if "image/png" in data:
            data["image/png"] = _smaller(data["image/png"])
    return notebook


def _smaller(picture: str) -> str:
    """A PNG picture in base64 with few colours."""
    result = BytesIO()
    Image.open(BytesIO(base64.b64decode(picture))).convert("RGB").quantize(_COLOURS).save(result, "png", optimize=True)
    return base64.b64encode(result.getvalue()).decode()


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
    sys.stderr.write(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes\n")
