"""The format ONNX: a program that onnxruntime and many others run, in many languages."""

from collections.abc import Mapping, Sequence

import onnx
import onnxruntime
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor

from mm_lightning.export.formats.comparison import Run, check_same
from mm_lightning.export.formats.step import BATCH, LENGTH, PAST, Step, program_of, quiet, untraceable

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
    program = program_of(step, FORMAT)
    with quiet():
        try:
            made = torch.onnx.export(
                program, input_names=inputs, output_names=outputs, dynamo=True, external_data=False, verbose=False
            )
        except Exception as error:  # torch fails in many ways on an operator that ONNX lacks
            raise untraceable(step, FORMAT, error) from error
    assert made is not None
    ClearMetadataAndDocStringPass()(made.model)  # lines of code, with paths of this machine
    model: onnx.ModelProto = made.model_proto
    _name_sizes(model.graph, step)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    check_same(_runner(content, inputs), step, FORMAT)
    return content


def _name_sizes(graph: onnx.GraphProto, step: Step) -> None:
    """Name the open sizes of inputs and outputs, which the exporter numbers."""
    parts = [part.axes for part in step.state_parts()]
    label = [(BATCH,)] if step.has_labels else []
    after = [tuple(f"{PAST}+{LENGTH}" if axis == PAST else axis for axis in axes) for axes in parts]
    for value, axes in (
        *zip(graph.input, [(BATCH, LENGTH), *parts, *label], strict=True),
        *zip(graph.output, [(BATCH, step.vocab_size), *after], strict=True),
    ):
        element = value.type.tensor_type.elem_type
        value.type.CopyFrom(onnx.helper.make_tensor_type_proto(element, axes))
    del graph.value_info[:]  # of inner values, with the exporter's numbers


def _runner(content: bytes, names: Sequence[str]) -> Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(ids: Tensor, state: Sequence[Tensor], label: Tensor | None) -> list[Tensor]:
        tensors = [ids, *state, *([] if label is None else [label])]
        results = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)})
        return [torch.from_numpy(result) for result in results]

    return run
