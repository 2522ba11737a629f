"""Numbers on their way from Python to JavaScript."""

import numpy as np
import torch
from in_node import in_node

from mm_lightning.export.binary import Binary

_NUMBERS = """
import { decodeBinary } from "./payload.js";
import { readTensors } from "./networks/parts/tensors.js";
export const answer = ({ text, tensors }) => {
  const { buffer } = decodeBinary(text);
  return Object.values(readTensors(tensors, buffer)).map(({ values, low, high }) =>
    values ? Array.from(values, String) : Array.from(low, (rest, i) => `${(BigInt(high[i]) << 32n) + BigInt(rest)}`));
};
"""


def test_numbers_arrive_as_they_left():
    """Catches a bit that is lost between Python and JavaScript: lengths of packed numbers, halves, signs, offsets."""
    generator = np.random.default_rng(0)
    numbers = generator.integers(0, 2**63, 2_000) >> generator.integers(0, 63, 2_000)
    edges = [0, 127, 128, 2**14 - 1, 2**28 - 1, 2**28, 2**32 - 1, 2**32, 2**53 + 1, 2**56 - 1, 2**56, 2**63 - 1]
    halves = torch.arange(0, 0x7C00, dtype=torch.int16).view(torch.float16)
    tensors = {
        "mixed": torch.from_numpy(np.concatenate([numbers, edges])),
        "sorted": torch.from_numpy(np.sort(np.concatenate([numbers, edges]))),
        "none": torch.zeros(0, dtype=torch.int64),
        "halves": torch.cat([halves, -halves]).float(),
        "singles": torch.tensor([-torch.inf, 1e-45, 0.1, 3.4e38]),
        "doubles": torch.tensor([0.1, 1e-320, -1e300], dtype=torch.float64),
    }
    binary = {weights: Binary(weights) for weights in ("float32", "float16")}
    described = {name: binary["float32"].add_tensor(name, tensor) for name, tensor in tensors.items()}
    found = in_node(_NUMBERS, {"text": binary["float32"].text(), "tensors": described})
    for tensor, texts in zip(tensors.values(), found, strict=True):
        kind = np.float32 if tensor.dtype == torch.float32 else np.float64 if tensor.is_floating_point() else np.int64
        assert np.array_equal(np.array(texts, dtype=object).astype(kind), tensor.numpy())
    packed = {"halves": binary["float16"].add_tensor("halves", tensors["halves"])}
    found = in_node(_NUMBERS, {"text": binary["float16"].text(), "tensors": packed})
    assert np.array_equal(np.array(found[0]).astype(np.float32), tensors["halves"].numpy())
