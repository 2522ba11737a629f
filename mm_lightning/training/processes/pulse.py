"""Signs of life of the processes on several machines, in the store through which the processes have met.

A process waits half an hour in a collective operation for another one whose machine is gone, and a GPU waits for a
process that was killed as well. A shorter limit of that wait would also end a run whose first process validates,
samples or saves for long. So a thread of each process counts up in the store, and looks at the counts of the others.
"""

import os
import threading
import time
from datetime import timedelta
from itertools import count

from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined] # documented

_SILENT_SECONDS = 20  # after which a process counts as lost
_START_SECONDS = 300  # for a process that has not been heard yet, since machines import and read at different speeds
_BEAT_SECONDS = 2
_END = -(1 << 40)  # added to the count of a process that has done its work
_LAUNCHES = count()  # of this process; all processes of a run launch the same functions in the same order


class Pulse:
    """The signs of life of a process, and those of the others.

    Args:
        rank: Number of this process.
        world_size: Number of processes.
        has_store: Whether the store is there before the processes have met, as that of torchrun.
    """

    def __init__(self, rank: int, world_size: int, has_store: bool = False) -> None:
        self._prefix = f"mm_lightning/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{next(_LAUNCHES)}"
        self._rank = rank
        self._counts = dict.fromkeys(set(range(world_size)) - {rank}, 0)
        self._heard: dict[int, float] = {}  # when a process was heard last; empty until there is a store
        self._has_store = has_store
        self._have_met = False
        self._has_ended = threading.Event()
        self._is_done = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self, is_done: bool) -> None:
        """Give no more signs; tell the others if the work is done, so that no one misses this process."""
        self._is_done = is_done
        self._has_ended.set()
        self._thread.join(_BEAT_SECONDS)

    def silent_rank(self) -> int | None:
        """The process that has given no sign for longest, if too long; None where there is none."""
        if not self._have_met and distributed.is_initialized():
            self._have_met = True
            self._heard.update({rank: min(heard, time.monotonic()) for rank, heard in self._heard.items()})
        rank, heard = min(self._heard.copy().items(), key=lambda item: item[1], default=(0, time.monotonic()))
        return rank if time.monotonic() - heard > _SILENT_SECONDS else None

    def _run(self) -> None:
        while not self._has_store and not distributed.is_initialized():
            if self._has_ended.wait(_BEAT_SECONDS):
                return
        self._heard = dict.fromkeys(self._counts, time.monotonic() + _START_SECONDS - _SILENT_SECONDS)
        try:
            self._beat()
        except RuntimeError:
            return  # the store is gone with its process: all fall silent

    def _beat(self) -> None:
        """Count up and look at the others, until the end."""
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        limit = timedelta(seconds=_SILENT_SECONDS)
        store = TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=limit)
        while not self._has_ended.is_set():
            store.add(f"{self._prefix}/{self._rank}", 1)
            for rank, old in self._counts.items():
                self._counts[rank] = store.add(f"{self._prefix}/{rank}", 0)
                if self._counts[rank] < 0:  # done
                    self._heard[rank] = float("inf")
                elif self._counts[rank] != old:
                    self._heard[rank] = time.monotonic()
            self._has_ended.wait(_BEAT_SECONDS)
        if self._is_done:
            store.add(f"{self._prefix}/{self._rank}", _END)
