"""One process that fits, resumes, samples and scores many times: memory, descriptors and threads level off."""

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import lightning.pytorch as pl
import pytest
from filelock import FileLock
from matplotlib.figure import Figure
from run_command import fork
from torch import nn

from mm_lightning.cli.application import main

_MAX_GROWTH_MB = 15  # after the warm-up: a twentieth of what 3 MB a cycle would add in 100 cycles
_COUNTED = (nn.Module, pl.Trainer, pl.Callback, FileLock, Figure, logging.Handler)
_QUIET = ("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false")
_FIT = (
    *("fit", "--data.path", "words.txt", "--data.batch_size", "20", "--trainer.steps_per_execution", "4"),
    *("--model.network", "mm_lightning.networks.MLP", "--model.network.hidden_dim", "8"),
    *("--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01", *_QUIET),
)


def cycle() -> None:
    """Four commands in the folder of words.txt."""
    main([*_FIT, "--trainer.max_steps", "6"])
    main(["fit", "--ckpt_path", "last", "--trainer.max_steps", "8", *_QUIET])
    main(["predict", "--ckpt_path", "last", "--sampling.num_samples", "3"])
    main(["score", "--ckpt_path", "best", "dan", "bolla"])


def held() -> Counter[str]:
    """Number of each thing that a process can hold too many of."""
    gc.collect()
    known = logging.root.manager.loggerDict.values()
    loggers = [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]
    result = Counter(
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        system_threads=len(list(Path("/proc/self/task").iterdir())),
        log_filters=sum(len(log.filters) for log in loggers),
        log_handlers=sum(len(log.handlers) for log in loggers),
        warning_filters=len(warnings.filters),
        signal_handlers=sum(callable(signal.getsignal(signum)) for signum in signal.valid_signals()),
    )
    for kind in _COUNTED:
        result[kind.__name__] = sum(issubclass(type(thing), kind) for thing in gc.get_objects())
    return result


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(folder: str, warm_up: int, cycles: int) -> None:
    """Run the cycles in this process, which ends with status 1 where something grows."""
    os.chdir(folder)
    logging.disable(logging.INFO)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        for _ in range(warm_up):
            cycle()
        first, memory = held(), [resident_megabytes()]
        for _ in range(cycles - warm_up):
            cycle()
            memory.append(resident_megabytes())
        assert held() == first
    growth = max(memory[-10:]) - max(memory[: max(1, len(memory) // 10)])
    sys.stdout.write(f"{cycles} cycles: {memory[0]:.0f} MB after {warm_up}, then {growth:+.1f} MB; {dict(first)}\n")
    assert cycles < 100 or growth < _MAX_GROWTH_MB


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list descriptors in /proc")
@pytest.mark.parametrize(("warm_up", "cycles"), [(1, 2), pytest.param(40, 120, marks=pytest.mark.slow)])
def test_nothing_grows_with_the_number_of_commands(warm_up: int, cycles: int, words: Path):
    """Catches filters added by each command, writers and locks left open, and trainers that are never freed.

    The process is a fresh one: the memory of one that has run other tests falls and rises by more than is looked for.
    """
    assert fork(soak, str(words.parent), warm_up, cycles, timeout=1200) == 0
    assert len(list(Path("lightning_logs").iterdir())) == cycles
