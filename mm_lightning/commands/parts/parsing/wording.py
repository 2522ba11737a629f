"""Errors of jsonargparse in other words: the setting, its value, and what it takes, or which name was meant."""

import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches

_UNKNOWN_OPTION = re.compile(r"Option '(\S+)' is not accepted")
_UNKNOWN_SETTING = re.compile(r"^Subcommand '(\S+)' does not accept option '(\S+)'")
_UNKNOWN_IN_GROUP = re.compile(r"^Group '(\S+)' does not accept option '(\S+)'")
_MISSING_SETTING = re.compile(r'^Parser key "([^"]+)": the following arguments are required: ([\w.]+)')
_MISSING_OPTION = re.compile(r"(arguments are required: )\w+\.")  # of a command
_NESTED_KEYS = re.compile(r'^Parser key "([^"]+)":\s+(?:Parser key "([^"]+)":|([\w.]+) is )')
_REFUSAL = re.compile(
    r'Parser key "([^"]+)":\s+(?=Not of type|Does not validate|Expected a|Type|Problem|- )(.*)', re.DOTALL
)
_TYPES = re.compile(
    r"^[ -]*(?:Not of type (.+?): |"
    r"Expected an? (?:<class '([^']+)'>|typing\.Literal\[(.+?)\]|([^\n]+?))(?:\. Got value|$))",
    re.MULTILINE,
)
_PATHS = ("path ", "dot import path ")  # a file of the value, or a class, which most settings do not take
_CLASS_FAULT = re.compile(
    r"module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'"
    r"|No module named '(?P<absent>[\w.]+)'"
    r"|Expected '(?P<other>[\w.]+)' to be a subclass of <class '(?:\w+\.)*(?P<kind>\w+)'>"
    r"|Expected a dot import path string: (?P<short>\S+)"
)
_FEW = 20  # names that an error lists
CLASS_MODULES = {  # modules of the classes that a setting takes
    "model.network": "mm_lightning.networks",
    "model.optimizer": "torch.optim",
    "model.lr_scheduler": "torch.optim.lr_scheduler",
    "trainer.callbacks": "lightning.pytorch.callbacks",
    "trainer.logger": "lightning.pytorch.loggers",
}


def did_you_mean(word: str, known: Iterable[str], value: str = "") -> str:
    """A hint at the most similar of the known words; empty where none is similar.

    An option without its section, as --max_steps, is similar to the option in a section, --trainer.max_steps.

    Args:
        word: The word that is not known.
        known: The known words.
        value: Text behind the word in the hint.
    """
    known = sorted(known, key=lambda name: (not name.startswith("--sampling."), name))
    name = f".{word.lstrip('-')}"
    found = [option for option in known if word.startswith("--") and option.endswith(name)]
    found = found or get_close_matches(word, known, n=1, cutoff=0.75)
    return f"; did you mean {found[0]}{value}?" if found else ""


def readable(message: str) -> str:
    """Reword jsonargparse's error about a setting as the setting, its value, and what it takes."""
    message = _UNKNOWN_OPTION.sub(r"\1 is not an option", message)
    message = _UNKNOWN_SETTING.sub(r"\2 is not an option of \1", message)
    message = _UNKNOWN_IN_GROUP.sub(r"\1.\2 is not an option", message)
    message = _NESTED_KEYS.sub(
        lambda key: f'Parser key "{key[1]}.{key[2]}":' if key[2] else f"{key[1]}.{key[3]} is ", message
    )
    message = _MISSING_SETTING.sub(r"\1 needs --\1.\2", message)
    message = _MISSING_OPTION.sub(r"\1--", message)
    refusal = _REFUSAL.match(message)
    if refusal is None:
        return message
    setting, reason = refusal.groups()
    if fault := _class_fault(setting, reason):
        return fault
    kinds = dict.fromkeys(map("".join, _TYPES.findall(reason)))  # without repeats
    wanted = ["null" if kind == "NoneType" else kind for kind in kinds if not kind.startswith(_PATHS)]
    values = [reason.rpartition(mark)[2] for mark in ("Given value: ", "Got value: ", ": ") if mark in reason]
    return f"{setting} is {values[0].strip()}; give {' or '.join(wanted)}" if wanted else message


def _class_fault(setting: str, reason: str) -> str | None:
    """What is wrong with the class that a setting names; None if something else is."""
    if "but got None" in reason:
        return f"{setting} is not given; name its class, or begin with a recipe, such as --config configs/mlp.yaml"
    found = _CLASS_FAULT.search(reason)
    if found is None or (found["short"] and setting not in CLASS_MODULES):  # of a setting with values that are no class
        return None
    if found["absent"]:
        return (
            f"{setting}: there is no module {found['absent']}; install its package, or start the command in the folder "
            "of the module"
        )
    if found["kind"]:
        return f"{setting} is {found['other']}; give a subclass of {found['kind']}"
    name = found["name"] or found["short"]
    module = found["module"] or CLASS_MODULES[setting]
    value = f"{module}.{name}" if found["module"] else name
    return f"{setting} is {value}, but {module} has no {name}{_similar_class(name, module)}"


def _similar_class(name: str, module: str) -> str:
    """A hint at the class of a module that was meant, or at all of a few."""
    members = vars(sys.modules[module]) if module in sys.modules else {}
    classes = [key for key, member in members.items() if isinstance(member, type) and not key.startswith("_")]
    few = f"; it has {', '.join(classes)}" if 0 < len(classes) <= _FEW else ""
    return did_you_mean(name, classes) or few
