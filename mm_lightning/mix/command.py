"""The mix command: its options, and its work in order. `--help` needs no torch."""

import os
import shlex
import sys
from pathlib import Path

from mm_lightning import UserError
from mm_lightning.commands.parts.parsing.parser import OneLineParser, command_parser
from mm_lightning.compare.command import add_classes, add_runs, named_classes, require_two
from mm_lightning.files import check_writable
from mm_lightning.training.run_folders import CHECKPOINTS, find_run


def make_parser() -> OneLineParser:
    """Make the parser of the command's options."""
    parser = command_parser("mix")
    add_runs(parser)
    parser.add_argument("--output", type=Path, default=Path("mixture.ckpt"), help="Checkpoint of the mixture.")
    add_classes(parser)
    parser.add_argument("--data.path", type=str | None, help="Place of the data of all runs, if it has changed.")
    return parser


def main(args: list[str]) -> None:
    """Mix the networks of runs.

    Raises:
        UserError: If a run cannot be used or mixed, or the checkpoint cannot be written.
        SystemExit: 2 for arguments that cannot be parsed.
    """
    config = make_parser().parse_args(args)
    output: Path = config["output"]
    check_writable(output, "output", ".ckpt")
    require_two("mix", config["runs"])
    paths = [find_run(name).resolve() for name in config["runs"]]
    if len(set(paths)) < len(paths):
        raise UserError(f"the runs {', '.join(config['runs'])} have a checkpoint twice; give each once")
    if output.resolve() in paths or output.resolve().parent.name == CHECKPOINTS:
        raise UserError(f"--output {output} is a checkpoint of a run, or a network of the mixture; give another file")
    from mm_lightning.commands.parts.library_warnings import quiet  # noqa: PLC0415 # takes seconds, as the imports below
    from mm_lightning.compare.runs import read_run  # noqa: PLC0415
    from mm_lightning.mix.mixing import mix, save  # noqa: PLC0415

    with quiet():
        runs = [read_run(path, named_classes(config)) for path in paths]
        mixture = mix(runs, config["data.path"], lambda name: sys.stderr.write(f"measured {name}\n"))
        save(mixture, output)
    print("\n".join(mixture.lines()))
    print(f"mixture:        {os.path.relpath(output)}")
    print(f"sample from it: python -m mm_lightning predict --ckpt_path {shlex.quote(os.path.relpath(output))}")
