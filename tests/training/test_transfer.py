"""Weights of a model with another alphabet: `fit --init_from`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mm_lightning.cli.application import main
from mm_lightning.networks import GRU, LSTM, MLP, RNN, BagOfWords, Bigram, Transformer, WaveNet
from mm_lightning.networks.base import Network
from mm_lightning.training.checkpoint import OtherNetworkError, begin_from, shapes_with_one_id_more

NETWORKS: dict[str, Callable[[int], Network]] = {
    "MLP": lambda v: MLP(v, 3, 6, 12, num_layers=2, batch_norm=True),
    "WaveNet": lambda v: WaveNet(v, 4, 6, 8),
    "Bigram": Bigram,
    "BagOfWords": lambda v: BagOfWords(v, 8, 8, 5),
    "RNN": lambda v: RNN(v, embed_dim=6, hidden_dim=8),
    "GRU": lambda v: GRU(v, embed_dim=6, hidden_dim=8, num_layers=2),
    "LSTM": lambda v: LSTM(v, embed_dim=6, hidden_dim=8),
    "Transformer": lambda v: Transformer(v, embed_dim=8, num_layers=2, num_heads=2, num_positions=6),
}


def transferred(make: Callable[[int], Network], old: str, new: str) -> tuple[Network, Network, int]:
    """A network of the old alphabet, one of the new alphabet that began from it, and the number of known tokens."""
    torch.manual_seed(0)
    source, target = make(len(old) + 1).eval(), make(len(new) + 1).eval()
    state = {f"network.{name}": weight for name, weight in source.state_dict().items()}
    content: dict[str, Any] = {"hyper_parameters": {"alphabet": old}, "state_dict": state}
    num_known = begin_from(target, shapes_with_one_id_more(make, len(new) + 1), new, content)
    return source, target, num_known


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("new", ["dcba", "xbda?"])
def test_known_letters_keep_their_logits(name: str, new: str):
    """Catches rows that are not moved to their letter's new id, a weight left fresh, and buffers that are lost."""
    old = "abcd"
    source, target, num_known = transferred(NETWORKS[name], old, new)
    shared = [letter for letter in new if letter in old]
    assert num_known == len(shared)
    old_ids = torch.tensor([0, *(old.index(letter) + 1 for letter in shared)])
    new_ids = torch.tensor([0, *(new.index(letter) + 1 for letter in shared)])
    order = [0, 1, 2, 3, 1, 1]
    expected = source.sequence_logits(old_ids[order][None])[..., old_ids]
    torch.testing.assert_close(target.sequence_logits(new_ids[order][None])[..., new_ids], expected)


def test_an_unknown_letter_is_that_without_accent_or_the_mean():
    """Catches a variant letter that begins from nothing, and a new letter that is too likely from the start."""
    source, target, _ = transferred(lambda v: MLP(v, 2, 3, 4), "aeo", "aEé?")
    assert torch.equal(target.output.weight[2], source.output.weight[2])  # type: ignore[union-attr,index]
    assert torch.equal(target.embedding.weight[3], source.embedding.weight[2])  # type: ignore[union-attr,index]
    torch.testing.assert_close(target.output.bias[4], source.output.bias.mean())  # type: ignore[union-attr,index]
    torch.manual_seed(0)
    MLP(4, 2, 3, 4)
    assert torch.equal(target.embedding.weight[4], MLP(5, 2, 3, 4).embedding.weight[4])  # type: ignore[union-attr,index]


def test_another_architecture_is_refused():
    """Catches weights of another size cut to fit."""
    larger = shapes_with_one_id_more(lambda v: MLP(v, 2, 3, 5), 4)
    state = {f"network.{name}": weight for name, weight in MLP(4, 2, 3, 4).state_dict().items()}
    content: dict[str, Any] = {"hyper_parameters": {"alphabet": "abc"}, "state_dict": state}
    with pytest.raises(OtherNetworkError, match="hidden"):
        begin_from(MLP(4, 2, 3, 5), larger, "abc", content)


def test_shapes_take_no_random_numbers():
    """Catches initial weights and dropout that differ because shapes were asked for."""
    before = torch.get_rng_state()
    shapes_with_one_id_more(NETWORKS["Transformer"], 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_seed_begins_from_the_same_weights(words: Path):
    """Catches a second seed that begins from the run of the first, as that is the newest."""
    short = ["--data.path=words.txt", "--model.network=Bigram", "--model.optimizer=torch.optim.Adam"]
    main(["fit", *short, "--trainer.max_steps=2"])
    main(["fit", *short, "--init_from=last", "--seeds=2", "--trainer.max_steps=1"])
    configs = [Path(f"lightning_logs/version_{number}/config.yaml").read_text() for number in (1, 2)]
    assert [yaml.safe_load(text)["init_from"] for text in configs] == [
        "lightning_logs/version_0/checkpoints/last.ckpt"
    ] * 2
