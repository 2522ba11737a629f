"""`python -m mm_lightning`: what needs neither torch nor Lightning is done before they are imported."""

import sys

from mm_lightning import report
from mm_lightning.commands import COMMANDS, errors_of_one_line, fail, overview
from mm_lightning.sweep import command as sweep


def main() -> None:
    """Do what the command line says.

    Raises:
        SystemExit: 2 for arguments that make no sense, 1 for what went wrong later, 130 or 143 after a signal.
    """
    args = sys.argv[1:]
    command = args[0] if args else ""
    if command in ("-h", "--help"):
        print(overview(), end="")
    elif command == "report":
        with errors_of_one_line():
            report.main(args[1:])
    elif command == "sweep":
        with errors_of_one_line():
            sweep.main(args[1:])
    elif command in COMMANDS or command.startswith("-"):
        from mm_lightning import cli  # noqa: PLC0415 # takes seconds

        cli.main(args)
    else:
        known = ", ".join(COMMANDS)
        fail(f"there is no command {command}; give one of {known}" if args else f"give a command: {known}", status=2)


if __name__ == "__main__":
    main()
