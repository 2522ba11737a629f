"""mm_lightning: learn from a list of items, one per line, and make more like them.

The door for Python programs, `import mm_lightning as mm`: `mm.load`, `mm.fit`, `mm.lr_find`, `mm.read`, `mm.windows`.
The import takes no time: the functions come from `api.py` when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mm_lightning.api import Model, fit, load, lr_find, read, windows
    from mm_lightning.commands.parts.scores import Score
    from mm_lightning.data.encoding import WindowRows
    from mm_lightning.evaluation.lr_range import RangeTest

__all__ = ["Model", "RangeTest", "Score", "UserError", "WindowRows", "fit", "load", "lr_find", "read", "windows"]


class UserError(ValueError):
    """An error that the user can cause and mend. Its message is one line: the setting, its value, the remedy."""


def __getattr__(name: str) -> Any:
    """Find a name of the door, which imports torch and Lightning."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mm_lightning import api  # noqa: PLC0415 # takes seconds

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
