"""Config files: read within bounds, since YAML's anchors let a small file stand for billions of settings."""

from contextlib import suppress
from pathlib import Path

import yaml

from mm_lightning import UserError

_MAX_BYTES = 1 << 22
_MAX_NODES = 100_000  # with anchors written out


def is_file(path: str) -> bool:
    """Whether a value names a file; it may be settings, or a name that the system refuses."""
    with suppress(OSError, ValueError):
        return Path(path).is_file()
    return False


def read_config(path: str) -> str:
    """Read the text of a config file.

    Raises:
        UserError: If the file cannot be read, is not UTF-8, or stands for too many settings.
    """
    try:
        file = Path(path)
        if not is_file(path):
            raise UserError(f"{path}: no such file; name a file with settings in YAML")
        if file.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path} has over {_MAX_BYTES:_} bytes, too many for settings; name another file")
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; name a file with settings in YAML") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    try:
        num_nodes = _num_nodes(yaml.compose(text, yaml.SafeLoader), {})
    except RecursionError:
        raise UserError(f"{path} is nested too deeply for settings; name another file") from None
    except (yaml.YAMLError, ValueError):  # ValueError: a date such as 2024-13-01
        return text  # the parser says where the error is
    if num_nodes > _MAX_NODES:
        raise UserError(f"{path} stands for over {_MAX_NODES:_} settings; look for an anchor (&) within an anchor")
    return text


def _num_nodes(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Number of nodes with anchors written out; too many for an anchor within itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = _MAX_NODES + 1  # until counted: met again only within itself
        inner = [child for entry in node.value for child in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_num_nodes(child, known) for child in inner)
    return known[id(node)]
