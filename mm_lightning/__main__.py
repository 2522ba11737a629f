"""The entrance, `python -m mm_lightning`: light commands run without importing torch or Lightning."""

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from mm_lightning.commands.catalogue import COMMANDS, overview
from mm_lightning.commands.parts.errors import USAGE_STATUS, fail, is_first_process, one_line_errors
from mm_lightning.commands.parts.one_process import go_on_alone
from mm_lightning.training.stop_signals import Stopped, stop_at_once


def main() -> None:
    """Run the command on the command line.

    Raises:
        SystemExit: 2 for arguments that cannot be parsed, 1 for a later failure, 130 or 143 after a signal.
    """
    stop_at_once()
    if "" not in sys.path:
        sys.path.append("")  # the folder of the command, where own networks lie; `python -m` has it, a script has not
    try:
        _run(sys.argv[1:])
    except Stopped as stop:
        again = ""
        if stop.checkpoint is not None and stop.checkpoint.is_file():
            from mm_lightning.training.checkpoint import command_to_resume  # noqa: PLC0415 # takes seconds

            again = f"; go on with: {command_to_resume(stop.checkpoint)}"
        if is_first_process():
            sys.stderr.write(f"{stop}{again}\n")
        sys.exit(128 + stop.signum)


def _run(args: list[str]) -> None:
    for number, arg in enumerate(args, 1):
        if not arg.isprintable() and any("\ud800" <= c <= "\udfff" for c in arg):
            fail(f"argument {number}, {arg!a}, is not UTF-8; rename the file, or type it in UTF-8", USAGE_STATUS)
    name = args[0] if args else ""
    command = COMMANDS.get(name)
    if name in ("-h", "--help"):
        with one_line_errors():
            print(overview(), end="")
    elif command is not None and command.is_light:
        assert command.module is not None
        go_on_alone(name)
        with one_line_errors():
            import_module(command.module).main(args[1:])
    elif command is not None:
        from mm_lightning.cli import start  # noqa: PLC0415 # a signal during its imports is handled here

        start.main(args)
    else:
        _refuse(name)


def _refuse(name: str) -> NoReturn:
    """Refuse a first argument that is no command, and say which was meant."""
    known = ", ".join(COMMANDS)
    if not name:
        fail(f"give a command: {known}", USAGE_STATUS)
    if meant := get_close_matches(name, COMMANDS, n=1):
        fail(f"there is no command {name}; did you mean {meant[0]}?", USAGE_STATUS)
    if os.path.isfile(name):  # noqa: PTH113 # of pathlib, a name of over 255 bytes is an OSError
        fail(f"{name} is no command but a file; make more like it: python -m mm_lightning make {name}", USAGE_STATUS)
    fail(f"there is no command {name}; give one of {known}", USAGE_STATUS)


if __name__ == "__main__":
    main()
