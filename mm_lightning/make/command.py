"""The make command: its options, the list, and what it prints."""

import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mm_lightning.commands.parts.library_warnings import quiet
from mm_lightning.commands.parts.parsing.parser import OneLineParser, command_parser
from mm_lightning.data.ranges import Count, Minutes, Seed, Temperature
from mm_lightning.files import check_writable
from mm_lightning.make.source import Source, make_model_folder, read
from mm_lightning.training.run_folders import BEST, checkpoint_of
from mm_lightning.training.stop_signals import Stopped

_NUM_SEEDS = 100_000  # short enough to type
_PREVIEW = 20  # items shown while networks learn


def make_parser() -> OneLineParser:
    """Make the parser of the command's options."""
    parser = command_parser("make")
    parser.add_argument("lists", nargs="+", metavar="LIST", help="Text file, one item per line; - for stdin.")
    parser.add_argument("--minutes", type=Minutes, default=1.0, help="Time for networks; 0 for counts alone.")
    parser.add_argument("--num_samples", type=Count, default=20, help="Number of new items.")
    parser.add_argument("--temperature", type=Temperature, default=0.8, help="Below 1 favours likely characters.")
    parser.add_argument("--seed", type=Seed | None, help="Seed of sampling; null for another one each time.")
    parser.add_argument("--data.item", type=str | None, help="Column of the items, for tables (.csv or .tsv).")
    return parser


def _learn(source: Source, minutes: float, path: Path, options: dict[str, Any]) -> None:
    """Learn the list, save the model, and print on the way what is tried.

    Raises:
        UserError: If the checkpoint cannot be written.
    """
    from mm_lightning.make.model import ListLearner  # noqa: PLC0415 # imports Lightning, which takes seconds
    from mm_lightning.make.recipe import suited  # noqa: PLC0415
    from mm_lightning.sampling.options import SamplingOptions  # noqa: PLC0415

    start, lines = time.monotonic(), list[str]()

    def tell(line: str) -> None:
        lines.append(line)
        _tell(line)

    tell(source.description())
    learner = ListLearner(source.data, source.items, lambda each: tell(f"  {each.loss:.4f}  {each.name}"))
    tell(f"loss on held-out items, nats per character, {learner.judgement}:")
    counts = learner.count()
    sizes = len(source.items), len(source.items.code_points), len(learner.vocabulary)
    recipe = suited(*sizes, max_seconds=60 * minutes)
    if recipe is None:
        tell(f"  no network is tried: {'the list is too short' if minutes else '--minutes is 0'}")
    else:
        first = learner.preview(
            counts, SamplingOptions(**options | {"num_samples": min(options["num_samples"], _PREVIEW)})
        )
        _tell(f"by counts alone: {', '.join(first)}")
        _tell("networks learn, for up to --minutes; Ctrl-C keeps the counts ...")
        try:
            learner.mix(recipe)
        except Stopped as stop:
            if stop.signum != signal.SIGINT:
                raise
            tell("  stopped; networks are tried at the next call")
            minutes = 0.0
    seconds = time.monotonic() - start
    tell(f"chosen: {learner.chosen.name}, which learned all items; {seconds:.0f} s")
    learner.save(path, {"minutes": minutes, "lines": lines, "command": source.command})


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Check that a checkpoint can be written, before a minute is spent on it; leave no empty folder after an error.

    Raises:
        UserError: If the checkpoint cannot be written.
    """
    make_model_folder(path.parent)
    try:
        check_writable(path, "checkpoint", path.suffix)
        yield
    except BaseException:
        with suppress(OSError):  # a folder with files in it stays
            path.parent.rmdir()
            path.parent.parent.rmdir()
        raise


def _learned(path: Path, minutes: float) -> list[str] | None:
    """Lines of the search that made the list's model; None if there is no model, or more time is given now.

    Raises:
        UserError: If the checkpoint is damaged.
    """
    from mm_lightning.training import checkpoint  # noqa: PLC0415 # imports Lightning, which takes seconds

    record: Any = checkpoint.load(path).get(checkpoint.MADE) if path.is_file() else None
    try:
        return record["lines"] if record["minutes"] >= minutes else None
    except (TypeError, KeyError):  # a checkpoint that another command put there
        return None


def _follow(source: Source, path: Path) -> None:
    """Let the list's model name the files that the list was read from now: they may have moved."""
    from mm_lightning.training import checkpoint  # noqa: PLC0415 # imports Lightning, which takes seconds

    content = checkpoint.load(path)
    data = {**content["datamodule_hyper_parameters"], **source.data}
    if data != content["datamodule_hyper_parameters"]:
        checkpoint.save({**content, "datamodule_hyper_parameters": data}, path)


def _sampling(source: Source, num_samples: int, temperature: float, seed: int | None) -> dict[str, Any]:
    """Sampling options: new, different items as long as those of the list."""
    return {
        "num_samples": num_samples,
        "temperature": temperature,
        "seed": secrets.randbelow(_NUM_SEEDS) if seed is None else seed,
        "min_length": int(source.items.lengths.min()),
        "max_length": int(source.items.lengths.max()),
        "unique": True,
        "only_new": True,
    }


def _as_options(options: dict[str, Any]) -> str:
    """Sampling options but number and seed as text, to which a user adds conditions."""
    kept = {name: value for name, value in options.items() if name not in ("num_samples", "seed")}
    return " ".join(f"--sampling.{name} {str(value).lower()}" for name, value in kept.items())


def _sample(path: Path, options: dict[str, Any]) -> None:
    """Write items to stdout."""
    from mm_lightning.cli.opening import predict  # noqa: PLC0415 # imports torch, which takes seconds
    from mm_lightning.sampling.options import SamplingOptions  # noqa: PLC0415

    predict(path, "", SamplingOptions(**options))


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(args: list[str]) -> None:
    """Learn a list if that is to be done, and print new items.

    Raises:
        UserError: If the list cannot be used, the model cannot be kept, or too few new items were found.
        SystemExit: 2 for arguments that cannot be parsed.
    """
    config = make_parser().parse_args(args)
    source = read(config["lists"], config["data.item"])
    options = _sampling(source, config["num_samples"], config["temperature"], config["seed"])
    path = checkpoint_of(source.folder, BEST)
    with quiet():
        lines = _learned(path, config["minutes"])
        if lines is None:
            with _writable(path):
                _learn(source, config["minutes"], path, options)
        if lines is not None:
            _follow(source, path)
        for line in lines or ():
            _tell(line)
        shown = shlex.quote(os.path.relpath(path))
        others = "the same command makes other items, and " if config["seed"] is None else ""
        _tell(f"seed {options['seed']}; {others}these take the model further:")
        _tell(f"  python -m mm_lightning predict --ckpt_path {shown} {_as_options(options)}")
        _tell(f"  python -m mm_lightning export --ckpt_path {shown} --output page.html")
        _sample(path, options)
