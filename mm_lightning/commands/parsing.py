"""A parser whose errors are one line: the setting, its value, and what it takes."""

import re
from argparse import ArgumentError
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace
from typing_extensions import override

_NESTED_KEYS = re.compile(r'^Parser key "([^"]+)":\s+(?:Parser key "([^"]+)":|([\w.]+) is )')
_REFUSAL = re.compile(r'Parser key "([^"]+)":\s+(?=Not of type|Does not validate|Expected a)(.*)', re.DOTALL)
_TYPES = re.compile(
    r"^[ -]*(?:Not of type (.+?): |"
    r"Expected an? (?:<class '([^']+)'>|typing\.Literal\[(.+?)\]|([^\n]+?))(?:\. Got value|$))",
    re.MULTILINE,
)


def readable(message: str) -> str:
    """Reword jsonargparse's error about a value as the setting, its value and the accepted types."""
    message = _NESTED_KEYS.sub(
        lambda key: f'Parser key "{key[1]}.{key[2]}":' if key[2] else f"{key[1]}.{key[3]} is ", message
    )
    refusal = _REFUSAL.match(message)
    if refusal is None:
        return message
    wanted = ["null" if kind == "NoneType" else kind for kind in map("".join, _TYPES.findall(refusal[2]))]
    values = [refusal[2].rpartition(mark)[2] for mark in ("Given value: ", "Got value: ", ": ") if mark in refusal[2]]
    return f"{refusal[1]} is {values[0].strip()}; give {' or '.join(wanted)}"


class OneLineParser(ArgumentParser):
    """A parser that raises an `ArgumentError` with one line instead of printing pages of usage.

    The settings of a class have a parser of their own. Of its error, only the reason is kept, after the outer key.
    """

    @override
    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override] # of many arguments
        try:
            return super().parse_args(*args, **kwargs)
        except RecursionError:
            self.error("the settings are nested too deeply; look for an anchor (&) that contains itself")
        except (UnicodeError, OSError) as error:
            self.error(f"a config file cannot be read: {error}")

    @override
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        cause: BaseException | None = ex
        while cause is not None and not isinstance(cause, ArgumentError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None and str(cause) == message:  # raised here before, and passed on by an outer parser
            name = cause.argument_name  # of a list: --data.path/--data.path+, which appends
            cause.argument_name = name and name.partition("/--")[0]
            raise cause
        reason = message if cause is None else f"{message.splitlines()[0]} {cause}"
        raise ArgumentError(None, readable(reason)) from ex
