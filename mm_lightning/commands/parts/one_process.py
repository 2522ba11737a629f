"""Commands that one process carries out alone, where torchrun, SLURM or the options ask for several."""

import os
import sys

_STARTERS = {"WORLD_SIZE": "RANK", "SLURM_NTASKS": "SLURM_PROCID"}  # variables: number of processes, and of this one
_VARIABLES = (  # by which Lightning finds torchrun or SLURM
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "TORCHELASTIC_RUN_ID"),
    *("SLURM_NTASKS", "SLURM_PROCID"),
)
_REMEDIES = {"sweep": "; start the command several times for several workers"}


def started_processes() -> tuple[int, int]:
    """Number of this process, and number of processes, of those that torchrun or SLURM started; else 0 and 1."""
    for size, rank in _STARTERS.items():
        number, count = os.environ.get(rank, ""), os.environ.get(size, "")
        if number.isdecimal() and count.isdecimal() and int(count) > 1:
            return int(number), int(count)
    return 0, 1


def go_on_alone(work: str) -> None:
    """End this process, unless torchrun or SLURM started it alone or first; a first one forgets the others.

    Args:
        work: Name of the work, as in "plot".

    Raises:
        SystemExit: 0, in the other processes.
    """
    rank, count = started_processes()
    if rank > 0:
        sys.exit(0)
    if count > 1:
        tell_alone(work, f"{count - 1} of {count} processes have nothing to do")
        for name in _VARIABLES:
            os.environ.pop(name, None)


def tell_alone(work: str, effect: str) -> None:
    """Say on stderr that work is done on one device, and what this means for the settings."""
    sys.stderr.write(f"{work} uses one device; {effect}{_REMEDIES.get(work, '')}\n")
