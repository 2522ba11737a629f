"""Refuse null where a setting takes none: jsonargparse reads it as "not given", and passes it on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pkgutil import resolve_name
from types import NoneType
from typing import Any, get_args, get_type_hints

from mm_lightning import UserError


def refuse_nulls(
    settings: dict[str, Any], kinds: Mapping[str, Callable[..., Any]], command: Callable[..., Any] | None = None
) -> None:
    """Refuse null for a setting whose type has no None.

    Args:
        settings: A whole configuration.
        kinds: Class of each section.
        command: Function of the command, whose arguments stand outside of the sections.

    Raises:
        UserError: Names the setting.
    """
    for section, kind in kinds.items():
        _refuse(settings.get(section) or {}, kind, f"{section}.")
    if command is not None:
        _refuse(settings, command, "")


def _refuse(settings: dict[str, Any], function: Callable[..., Any], section: str) -> None:
    """Refuse null in the arguments of a class or function, and of the classes among them."""
    hints = _type_hints(function)
    for name, value in settings.items():
        hint = hints.get(name, Any)
        if value is None and not _takes_none(hint):
            raise UserError(f"{section}{name} is null; leave it out or give {getattr(hint, '__name__', 'a value')}")
        for nested in value if isinstance(value, list) else [value]:
            if isinstance(nested, dict) and isinstance(nested.get("class_path"), str):
                inner = resolve_name(nested["class_path"])
                _refuse(nested.get("init_args") or {}, inner, f"{section}{name}.init_args.")


def _takes_none(hint: Any) -> bool:
    return hint in (Any, object, NoneType) or NoneType in get_args(hint)


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters of a function, or of a class and its bases; empty where they cannot be resolved."""
    bases = reversed(function.__mro__) if isinstance(function, type) else ()
    result: dict[str, Any] = {}
    for constructor in (*(vars(base).get("__init__") for base in bases), function):
        with suppress(NameError, TypeError, AttributeError):
            result |= get_type_hints(constructor)
    return result
