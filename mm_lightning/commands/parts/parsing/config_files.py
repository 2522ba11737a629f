"""Config files, checked before they are parsed: parsing a hostile file can take for ever, or all memory.

A YAML alias costs a few characters and stands for a part of any size, in which other aliases may occur. jsonargparse
copies such parts again and again ("billion laughs"). A part that holds itself has no end.
"""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import yaml

from mm_lightning import UserError

_MAX_BYTES = 1 << 22
_MAX_DEPTH = 50
_MIN_ELEMENTS = 10_000  # that a file of any length may have


def config_files(args: list[str]) -> list[str]:
    """Config files that a command line names: values of --config, and YAML files that are values of other options."""
    result = []
    for before, arg in pairwise(["", *args]):
        option, _, value = arg.partition("=") if arg.startswith("-") else (before, "", arg)
        is_yaml = value.endswith((".yaml", ".yml")) or option in ("-c", "--config")
        if is_yaml and os.path.isfile(value):  # noqa: PTH113 # of pathlib, a name of over 255 bytes is an OSError
            result.append(value)
    return result


def read_config(path: str) -> str:
    """Read a config file's text.

    Raises:
        UserError: If the file cannot be read, is not UTF-8, is no YAML, holds no settings, is nested too deeply, or
            becomes far larger with its aliases written out.
    """
    try:
        text = Path(path).read_text(encoding="utf-8") if os.path.getsize(path) <= _MAX_BYTES else None  # noqa: PTH202
        reason = f"has over {_MAX_BYTES:_} bytes, too many for settings" if text is None else _fault(text)
        if text is not None and reason is None:
            yaml.compose(text, yaml.SafeLoader)  # finds what single events do not show, such as a second document
    except yaml.YAMLError as error:
        problem = "it has control characters"
        if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
            problem = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
        raise UserError(f"config file {path} is no YAML: {problem}; give settings as in configs/mlp.yaml") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name a file with settings in YAML") from None
    except (OSError, UnicodeDecodeError) as error:
        text, reason = None, f"cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
    if text is None or reason:
        raise UserError(f"config file {path} cannot be used: it {reason}; give settings as in configs/mlp.yaml")
    return text


def as_options(text: str) -> list[str]:
    """The settings in a config file's text in the form of options; of lists, their names."""
    node = yaml.compose(text, yaml.SafeLoader)
    return [] if node is None else [f"--{option}" for option in _flat(node, "")]


def _flat(node: yaml.Node, name: str) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":  # which takes in another part
                yield from _flat(value, f"{name}.{key.value}" if name else key.value)
    elif isinstance(node, yaml.ScalarNode):
        is_plain = node.tag.endswith((":null", ":int"))  # which YAML writes in more ways than the command line
        value = yaml.safe_load(node.value) if is_plain else node.value
        yield f"{name}={'null' if value is None else value}"
    else:
        yield name


def _fault(text: str) -> str | None:
    """Reason why a text must not be parsed; None for a harmless one.

    Raises:
        yaml.YAMLError: If the text is no YAML.
    """
    sizes: dict[str, int] = {}  # elements of each part that has an anchor, with its aliases written out
    parts: list[tuple[str | None, int]] = []  # begun parts: anchor, and the elements before the part
    count = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                return f"has *{event.anchor} where no part of this name is complete"
            count += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            if not parts and event.value:
                return "holds text and no settings (a list of items is for --data.path)"
            count += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        elif isinstance(event, yaml.CollectionStartEvent):
            if not parts and isinstance(event, yaml.SequenceStartEvent):
                return "holds a list and no settings"
            parts.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = parts.pop()
            sizes |= {anchor: count - before} if anchor else {}
        if len(parts) > _MAX_DEPTH:
            return f"is nested more than {_MAX_DEPTH} deep"
        if count > max(_MIN_ELEMENTS, len(text)):
            return "becomes far larger when its aliases are written out"
    return None if count > 1 else "holds no settings"
