"""Proof that a program computes what the network computes: both read the same prefixes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.export.formats.step import Step

Run = Callable[[Tensor, Sequence[Tensor], Tensor | None], Sequence[Tensor]]  # what `Step.forward` does

_SIZES = ((1, 1), (3, 40), (25, 8))  # items and length of the prefixes; the last are read token by token too
_MAX_DIFFERENCE = 1e-4  # of a logit; and as a share of a large one, a tenth of that


@torch.no_grad()
def check_same(run: Run, step: Step, format: str) -> None:
    """Compare a program with the network on random prefixes, read at once and token by token.

    Args:
        run: The program.
        step: The step that the program was made of.
        format: Name of the format, for errors.

    Raises:
        UserError: If a logit differs.
    """
    generator = torch.Generator().manual_seed(0)
    for num_items, length in _SIZES:
        ids = torch.randint(step.vocab_size, (num_items, length), generator=generator)
        ids[:, 0] = BOUNDARY
        label = step.labels(num_items)
        offset = 0 if label is None else label[:, None] * step.vocab_size
        logits = run(ids, step.start(num_items), label)[0]
        _compare(logits, step.network.next_logits(ids + offset), step, format)
    state = step.start(num_items)
    for end in range(1, length + 1):
        logits, *state = run(ids[:, end - 1 : end], state, label)
        _compare(logits, step.network.next_logits(ids[:, :end] + offset), step, format)


def _compare(found: Tensor, expected: Tensor, step: Step, format: str) -> None:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        difference = f"of shape {tuple(found.shape)} and {found.dtype}"
    elif not torch.isclose(found, expected, rtol=_MAX_DIFFERENCE / 10, atol=_MAX_DIFFERENCE).all():
        difference = f"that differ by up to {(found - expected).abs().nan_to_num(torch.inf).max():.2g}"
    else:
        return
    raise UserError(
        f"--format {format}: the file of {type(step.network).__name__} computes logits {difference}, so it is not "
        "written; give another --format"
    )
