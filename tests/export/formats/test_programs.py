"""Programs of ONNX and torch.export compute what PyTorch computes, for every recipe in configs/."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from pages import CONFIGS, enlarge, trained
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.export.formats.comparison import check_same
from mm_lightning.export.formats.onnx_file import onnx_file
from mm_lightning.export.formats.pt2_file import pt2_file
from mm_lightning.export.formats.step import Step, make_step
from mm_lightning.networks import LSTM, MLP, Mixture, PitmanYor, Transformer
from mm_lightning.training.module import LanguageModel

SHORT = {"gru"}  # has a state; the others are slow tests
RECIPES = [pytest.param(path, marks=() if path.stem in SHORT else pytest.mark.slow, id=path.stem) for path in CONFIGS]
METADATA = {"tokens": json.dumps([None, "a"])}
TYPES = {"tensor(int64)": torch.int64, "tensor(float)": torch.float32, "tensor(double)": torch.float64}

Read = Callable[[Tensor, Tensor | None, list[Tensor] | None], list[Tensor]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request: pytest.FixtureRequest, folder: Path) -> tuple[LanguageModel, Items]:
    """A model whose logits are as large as after long training, and its training items."""
    model, items = trained(request.param, folder)
    enlarge(model, 3)
    return model, items


def read_onnx(content: bytes) -> Read:
    """Reads ids by onnxruntime alone: the state begins as zeros, of the shape that the file tells."""
    session = onnxruntime.InferenceSession(content)
    inputs = {each.name: each for each in session.get_inputs()}
    parts = [each for name, each in inputs.items() if name.startswith("state_")]

    def read(ids: Tensor, label: Tensor | None, state: list[Tensor] | None) -> list[Tensor]:
        sizes = {"batch": len(ids), "past": 0}
        start = [torch.zeros([sizes.get(n, n) for n in part.shape], dtype=TYPES[part.type]) for part in parts]
        given = {"ids": ids, **{part.name: each for part, each in zip(parts, state or start, strict=True)}}
        given |= {} if label is None else {"label": label}
        assert given.keys() == inputs.keys()
        return [torch.from_numpy(each) for each in session.run(None, {k: v.numpy() for k, v in given.items()})]

    return read


def read_pt2(content: bytes, step: Step) -> Read:
    program = torch.export.load(io.BytesIO(content)).module()
    return lambda ids, label, state: program(ids, state or step.start(len(ids)), *(() if label is None else (label,)))


@torch.no_grad()
def check(read: Read, model: LanguageModel, items: Items) -> None:
    """Compare with the logits that scoring takes: of real items read at once, and in two parts, under every label."""
    size = len(model.vocabulary)
    encoded = [[0, *model.vocabulary.encode_item(item)] for item in items[:60]]
    length = min(12, max(map(len, encoded)))
    ids = torch.tensor([each[:length] for each in encoded if len(each) >= length][:5])
    for number in range(max(1, len(model.labels))):
        label = torch.full((len(ids),), number) if model.labels else None
        expected = model.network.sequence_logits(ids + number * size)[:, -1]
        assert torch.allclose(read(ids, label, None)[0], expected, rtol=1e-5, atol=1e-4)
        _, *state = read(ids[:, :4], label, None)
        assert torch.allclose(read(ids[:, 4:], label, state)[0], expected, rtol=1e-5, atol=1e-4)


def test_onnx(recipe: tuple[LanguageModel, Items]):
    """Catches an operator that the exporter or onnxruntime computes otherwise, or a size that is fixed in the file."""
    model, items = recipe
    content = onnx_file(make_step(model.network, len(model.vocabulary)), METADATA)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    assert onnxruntime.InferenceSession(content).get_modelmeta().custom_metadata_map == METADATA
    check(read_onnx(content), model, items)


def test_pt2(recipe: tuple[LanguageModel, Items]):
    """Catches a network that torch traces for one batch, one length or one label only."""
    model, items = recipe
    step = make_step(model.network, len(model.vocabulary))
    content = pt2_file(step, METADATA)
    extra = dict.fromkeys(METADATA, "")
    torch.export.load(io.BytesIO(content), extra_files=extra)
    assert extra == METADATA
    check(read_pt2(content, step), model, items)


@pytest.mark.slow
@pytest.mark.parametrize("short", [True, False])
def test_mixtures(short: bool):
    """Catches a mixture, which `make` makes, whose networks share or lose their states."""
    torch.manual_seed(0)
    counted, other = PitmanYor(6, 3), MLP(6) if short else LSTM(6, hidden_dim=8)
    counted.count(torch.randint(5, (80, 3)), torch.randint(5, (80,)))  # id 5 never occurs
    mixture = Mixture(6, [lambda _: counted, lambda _: other], [0.25, 0.75], [-0.5, 1.5]).eval()
    content = onnx_file(make_step(mixture, 6), {})
    ids = torch.tensor([[0, 3, 1, 5, 2], [0, 1, 1, 2, 4]])
    assert torch.allclose(read_onnx(content)(ids, None, None)[0], mixture.next_logits(ids))


def test_a_file_has_no_path_of_this_machine():
    """Catches the lines of code that torch notes for each operation."""
    step = make_step(Transformer(5, embed_dim=4, num_layers=1, num_heads=1).eval(), 5)
    for content in (onnx_file(step, {}), pt2_file(step, {})):
        assert not any(
            text in content for text in (str(Path.home()).encode(), b"site-packages", b"mm_lightning/", b".py")
        )


def test_a_difference_is_an_error():
    """Catches a comparison that accepts every file, or that reads short prefixes only."""
    step = make_step(MLP(5).eval(), 5)

    def wrong_from_length_30(ids: Tensor, state: list[Tensor], label: Tensor | None) -> tuple[Tensor, ...]:
        logits, *after = step(ids, state, label)
        return logits + (1e-3 if ids.shape[1] > 30 else 0), *after

    check_same(step, step, "onnx")
    with pytest.raises(UserError, match=r"computes logits that differ by up to 0\.001, so it is not written"):
        check_same(wrong_from_length_30, step, "onnx")


class Stubborn(MLP):
    """A user's network with a branch on its numbers, which no exporter follows."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 3 else super().forward(x + 0)


def test_a_network_that_cannot_be_traced():
    """Catches pages of the compiler's text, or a traceback, for a network of the user's."""
    with pytest.raises(UserError, match=r"^Stubborn cannot be exported as pt2 \(.*\); --format safetensors takes"):
        pt2_file(make_step(Stubborn(5).eval(), 5), {})


def test_a_state_belongs_to_its_row():
    """Catches a file whose logits are right after each prefix and whose states belong to other rows."""
    torch.manual_seed(0)
    network = LSTM(6, hidden_dim=8).eval()
    read = read_onnx(onnx_file(make_step(network, 6), {}))
    ids = torch.tensor([[0, 3, 1, 5], [0, 1, 2, 4]])
    _, *state = read(ids[:, :2], None, None)
    swapped = read(ids.flip(0)[:, 2:], None, [part.flip(0) for part in state])[0]
    expected = network.next_logits(ids).flip(0)
    assert np.allclose(swapped, expected.detach(), atol=1e-5)
