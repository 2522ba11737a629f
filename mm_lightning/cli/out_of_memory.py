"""Lack of memory as an error that the user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities.memory import is_oom_error

from mm_lightning import UserError


@contextmanager
def refuse_out_of_memory() -> Iterator[None]:
    """Report a lack of memory, of the machine or of the device, in one line.

    Raises:
        UserError: If the memory is too small.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or is_oom_error(error):
            raise UserError("out of memory; make data.batch_size, the network or the data smaller") from None
        raise
