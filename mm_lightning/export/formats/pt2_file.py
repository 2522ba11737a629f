"""The format pt2: a program of torch.export, which opens without this package."""

import io
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mm_lightning.export.formats.comparison import check_same
from mm_lightning.export.formats.step import Step, program_of, quiet

FORMAT = "pt2"


def pt2_file(step: Step, metadata: Mapping[str, str]) -> bytes:
    """Make the file and compare it with the network.

    Args:
        step: The step.
        metadata: Texts by name, which become files in the archive.

    Raises:
        UserError: If torch cannot trace the network, or the file computes other logits.
    """
    file = io.BytesIO()
    traced = program_of(step, FORMAT)
    with quiet():
        torch.export.save(traced, file, extra_files=dict(metadata))
        content = file.getvalue()
        program = torch.export.load(io.BytesIO(content)).module()

    def run(ids: Tensor, state: Sequence[Tensor], label: Tensor | None) -> Sequence[Tensor]:
        results: Sequence[Tensor] = program(ids, list(state), *([] if label is None else [label]))
        return results

    check_same(run, step, FORMAT)
    return content
