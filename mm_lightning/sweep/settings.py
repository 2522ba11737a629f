"""The nested settings of a `fit`, as its config file has them: read from YAML, and set by dotted key."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from mm_lightning import UserError
from mm_lightning.commands.parts.parsing.config_files import read_config
from mm_lightning.commands.parts.parsing.wording import CLASS_MODULES
from mm_lightning.files import find_shipped

Settings = dict[str, Any]

_CLASS_ARGUMENT = re.compile(  # such as model.optimizer.lr
    rf"^({'|'.join(map(re.escape, CLASS_MODULES))})\.(?!(?:class_path|init_args|dict_kwargs)(?:\.|$))"
)
_NOT_OF_TRIALS = {  # options of `fit` that no trial follows, each with the value that asks for nothing
    "ckpt_path": None,
    "init_from": None,
    "teacher": None,
    "teacher_items": 0,
    "seeds": 1,
}


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number and 2024-05-01 text, as in the parser of `fit`."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_value(text: str) -> Any:
    """Read a value of the command line as YAML; text that is no YAML is a string."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def read_settings(base: str) -> Settings:
    """Read a config file; the config of a run is one too.

    Raises:
        UserError: If the file cannot be read, holds no settings, or has an option of `fit` that no trial follows.
    """
    try:
        content = yaml.load(read_config(find_shipped(base)), _Loader)
    except yaml.YAMLError as error:
        raise UserError(f"base {base} is no YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"base {base} holds no settings; give the configuration of a fit")
    for key, nothing in _NOT_OF_TRIALS.items():
        value = content.pop(key, None)
        if value not in (None, nothing):
            raise UserError(f"base {base} has {key}: {value}, which trials do not follow; leave it out")
    return content


def full_keys(settings: Mapping[str, Any], place: str) -> Settings:
    """Write each dotted key as a config file has it: `model.optimizer.init_args.lr` for `model.optimizer.lr`.

    Args:
        settings: Values by dotted key.
        place: The place of the keys, for errors.

    Raises:
        UserError: If a key appends to a list, or stands twice.
    """
    result: Settings = {}
    for key, value in settings.items():
        if key.endswith("+"):
            raise UserError(
                f"{key} appends to a list, and a sweep sets whole values; put the list into base, or give "
                f"{key.removesuffix('+')} with all elements"
            )
        full = _CLASS_ARGUMENT.sub(r"\1.init_args.", key)
        if full in result:
            raise UserError(f"{place} has {full} twice; leave one out")
        result[full] = value
    return result


def flatten(settings: Settings, section: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dotted key with its value."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value


def set_value(settings: Settings, key: str, value: Any) -> None:
    """Set the value at a dotted key; missing sections are added.

    Raises:
        UserError: If a part of the key has a value of its own.
    """
    *sections, last = key.split(".")
    for depth, section in enumerate(sections, 1):
        inner = settings.setdefault(section, {})
        if inner is None:
            inner = settings[section] = {}
        if not isinstance(inner, dict):
            parent = ".".join(sections[:depth])
            raise UserError(f"{key} leads nowhere: {parent} is {inner!r}; write it out as class_path and init_args")
        settings = inner
    settings[last] = value
