"""The format pt2: a program of torch.export, which opens without this package."""

import io
from collections.abc import Mapping

import torch

from mm_lightning.export.formats.comparison import check_same
from mm_lightning.export.formats.step import Step, program_of

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
    torch.export.save(program_of(step, FORMAT), file, extra_files=dict(metadata))
    content = file.getvalue()
    program = torch.export.load(io.BytesIO(content)).module()
    check_same(lambda ids, state, label: program(ids, list(state), label), step, FORMAT)
    return content
