"""The format ONNX: a program that onnxruntime and many others run, in many languages."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx
import onnxruntime
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor

from mm_lightning.export.formats.comparison import Run, check_same
from mm_lightning.export.formats.step import Step, program_of, untraceable

FORMAT = "onnx"
_ERRORS_ONLY = 3  # level of onnxruntime's log


def onnx_file(step: Step, metadata: Mapping[str, str]) -> bytes:
    """Make the file and compare it with the network.

    Args:
        step: The step.
        metadata: Texts by name, for the metadata of the model.

    Raises:
        UserError: If ONNX cannot express the network, or the file computes other logits.
    """
    num_parts = len(step.state_parts())
    inputs = ["ids", *(f"state_{i}" for i in range(num_parts)), *(["label"] if step.has_labels else [])]
    outputs = ["logits", *(f"new_state_{i}" for i in range(num_parts))]
    with _quiet():
        program = program_of(step, FORMAT)
        try:
            made = torch.onnx.export(
                program, input_names=inputs, output_names=outputs, dynamo=True, external_data=False, verbose=False
            )
        except Exception as error:  # torch fails in many ways on an operator that ONNX lacks
            raise untraceable(step, FORMAT, error) from error
    assert made is not None
    ClearMetadataAndDocStringPass()(made.model)  # lines of code, with paths of this machine
    model: onnx.ModelProto = made.model_proto
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    check_same(_runner(content, inputs), step, FORMAT)
    return content


def _runner(content: bytes, names: Sequence[str]) -> Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(ids: Tensor, state: Sequence[Tensor], label: Tensor | None) -> list[Tensor]:
        tensors = [ids, *state, *([] if label is None else [label])]
        results = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)})
        return [torch.from_numpy(result) for result in results]

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings, which are about its own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
