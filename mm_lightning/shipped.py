"""Files that come with the package: names, sentences and the recipes.

In a checkout they lie at its top; a wheel carries them inside the package. Either way `data/names.txt` and
`configs/mlp.yaml` mean these files wherever a command is run, unless the current folder has its own.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOTS = (_PACKAGE / "shipped", _PACKAGE.parent)


def find(path: str) -> str:
    """The path as it is where it exists; else the shipped file of that name; else the path as it is."""
    if not Path(path).exists() and Path(path).parts[:1] in {("data",), ("configs",)}:
        for root in _ROOTS:
            if (root / path).is_file():
                return str(root / path)
    return path
