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
from typing import TYPE_CHECKING, Any

from mm_lightning import UserError
from mm_lightning.commands.parts.library_warnings import quiet
from mm_lightning.commands.parts.parsing.parser import OneLineParser, command_parser
from mm_lightning.data.ranges import Count, Minutes, Seed, Temperature
from mm_lightning.files import check_writable
from mm_lightning.make.source import Source, make_model_folder, read, remove_kept_list
from mm_lightning.training.run_folders import BEST, checkpoint_of
from mm_lightning.training.stop_signals import Stopped

if TYPE_CHECKING:
    from mm_lightning.make.earlier import Earlier

_NUM_SEEDS = 100_000  # short enough to type
_PREVIEW = 20  # items shown while networks learn
_AMPLE_MINUTES = 1440.0


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


def _learn(source: Source, minutes: float, path: Path, options: dict[str, Any], earlier: "Earlier | None") -> None:
    """Learn the list, save the model, and print on the way what is tried.

    Args:
        source: The list.
        minutes: Time for networks.
        path: Checkpoint of the model.
        options: Sampling options.
        earlier: The model of an earlier call, which stays if nothing better is found.

    Raises:
        UserError: If the checkpoint cannot be written, or nothing new can come of the list.
    """
    from mm_lightning.make.earlier import recipe_of  # noqa: PLC0415 # imports Lightning, which takes seconds
    from mm_lightning.make.model import ListLearner  # noqa: PLC0415 # imports Lightning, which takes seconds
    from mm_lightning.sampling.options import SamplingOptions  # noqa: PLC0415

    start, lines = time.monotonic(), list[str]()

    def tell(line: str) -> None:
        lines.append(line)
        _tell(line)

    tell(source.description())
    learner = ListLearner(source.data, source.items, lambda each: tell(f"  {each.loss:.4f}  {each.name}"))
    tell(f"loss on held-out items, nats per character, {learner.judgement}:")
    counts = learner.count()
    recipe = recipe_of(source.items, minutes)
    if recipe is None:
        is_short = recipe_of(source.items, _AMPLE_MINUTES) is None
        tell(f"  no network is tried: {'the list' if is_short else '--minutes'} is too short")
    else:
        preview = SamplingOptions(**options | {"num_samples": min(options["num_samples"], _PREVIEW)})
        _tell(f"by counts alone: {', '.join(_previewed(learner.preview(counts, preview), source.name))}")
        kept = "the counts" if earlier is None else "the model of the earlier call"
        _tell(f"networks learn, for up to --minutes; Ctrl-C keeps {kept} ...")
        try:
            learner.mix(recipe)
        except Stopped as stop:
            if stop.signum != signal.SIGINT:
                raise
            tell("  stopped; networks are tried at the next call")
            minutes = 0.0 if earlier is None else earlier.minutes
    if earlier is not None and earlier.loss <= learner.chosen.loss:
        tell(f"  {earlier.loss:.4f}  the model of the earlier call, which stays")
        earlier.keep(path, source.data, minutes)
        return
    seconds = time.monotonic() - start
    tell(f"chosen: {learner.chosen.name}, which learned all items; {seconds:.0f} s")
    record = {"minutes": minutes, "lines": lines, "command": source.command, "loss": learner.chosen.loss}
    learner.save(path, record)


def _previewed(items: list[str], name: str) -> list[str]:
    if not items:
        raise UserError(f"{name}: no new item was found; the list may have all items of its characters and lengths")
    return items


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Check that a checkpoint can be written, before a minute is spent on it; leave nothing new after an error.

    Raises:
        UserError: If the checkpoint cannot be written.
    """
    make_model_folder(path.parent)
    try:
        check_writable(path, "checkpoint", path.suffix)
        yield
    except BaseException:
        if not path.exists():
            remove_kept_list(path.parent.parent)
        with suppress(OSError):  # a folder with files in it stays
            for folder in path.parents:
                folder.rmdir()
        raise


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
        from mm_lightning.make.earlier import Earlier  # noqa: PLC0415 # imports Lightning, which takes seconds

        earlier, minutes = Earlier.read(path), config["minutes"]
        if earlier is None or not earlier.had_time(source.items, minutes):
            with _writable(path):
                _learn(source, minutes, path, options, earlier)
        else:
            earlier.keep(path, source.data, max(minutes, earlier.minutes))
            for line in earlier.lines:
                _tell(line)
        shown = shlex.quote(os.path.relpath(path))
        others = "the same command makes other items, and " if config["seed"] is None else ""
        _tell(f"seed {options['seed']}; {others}these take the model further:")
        _tell(f"  python -m mm_lightning predict --ckpt_path {shown} {_as_options(options)}")
        _tell(f"  python -m mm_lightning export --ckpt_path {shown} --output page.html")
        _sample(path, options)
