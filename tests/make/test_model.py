"""The model of a list: what is learned, chosen and saved."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mm_lightning.cli import application
from mm_lightning.data.items import Items
from mm_lightning.make import model
from mm_lightning.make.model import Candidate, ListLearner
from mm_lightning.make.recipe import Recipe, suited
from mm_lightning.networks import Mixture
from mm_lightning.training import checkpoint
from mm_lightning.training.module import LanguageModel

WORDS = ["bank", "bake", "bat", "cat", "cab", "cake", "tab", "take", "tank", "neck", "nab", "can", "ban", "tan", "ten"]
RECIPE = Recipe(
    name="MLP",
    settings={
        "model": {
            "network": {"class_path": "mm_lightning.networks.MLP", "init_args": {"block_size": 2, "hidden_dim": 8}},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}},
        },
        "data": {"batch_size": 8},
        "trainer": {"max_steps": 5, "steps_per_execution": 5},
    },
    copies=2,
    seconds=1,
)


@pytest.fixture
def learner(tmp_path: Path) -> tuple[ListLearner, list[Candidate]]:
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    told: list[Candidate] = []
    learner = ListLearner({"path": str(tmp_path / "words.txt")}, Items.from_strings(WORDS), told.append)
    return learner, told


def test_a_mixture_is_saved_with_the_networks_that_were_learned(
    learner: tuple[ListLearner, list[Candidate]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches weights of a fold in the checkpoint, a copy that is another's double, and shares of other networks."""
    monkeypatch.setattr(model, "_MIN_GAIN", -1.0)
    maker, told = learner
    maker.count()
    maker.mix(RECIPE)
    assert maker.chosen is told[-1]
    assert told[-1].loss <= min(candidate.loss for candidate in told) + 1e-9
    path = tmp_path / "best.ckpt"
    maker.save(path, {"minutes": 1.0, "lines": [], "loss": 2.0})
    ckpt = checkpoint.read(path)
    built = application.build({"model": ckpt.model, "data": {"path": str(tmp_path / "words.txt"), "split": "all"}})
    checkpoint.load_weights(built.model, path)
    mixture = built.model.network.eval()
    assert isinstance(mixture, Mixture)
    counts, first, second = mixture.networks
    assert int(counts.counts.sum()) == len(WORDS) + sum(map(len, WORDS))  # every item is learned
    assert not torch.equal(first.embedding.weight, second.embedding.weight)
    assert mixture.weights[1] == mixture.weights[2]
    assert checkpoint.load(path)[checkpoint.MADE] == {"minutes": 1.0, "lines": [], "loss": 2.0}


@pytest.mark.parametrize(("words", "is_begun"), [(["Zoë", "Emma", "Ana"], True), (["Анна", "Зоя", "Emma"], False)])
def test_a_short_list_of_known_letters_begins_from_the_shipped_names(
    words: list[str], is_begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches a shipped model of another size than the recipe's, and one whose letters the list has not."""
    begun: list[str] = []
    begin_from = model.fit.begin_from

    def note(new: LanguageModel, start: checkpoint.Checkpoint) -> None:
        begin_from(new, start)
        begun.append(start.path.name)

    monkeypatch.setattr(model.fit, "begin_from", note)
    (tmp_path / "words.txt").write_text("\n".join(words))
    told: list[Candidate] = []
    maker = ListLearner({"path": str(tmp_path / "words.txt")}, Items.from_strings(words), told.append)
    recipe = suited(60, 700, 30, max_seconds=60)
    assert recipe is not None
    trainer = {**recipe.settings["trainer"], "max_steps": 2, "steps_per_execution": 2}
    maker.count()
    maker.mix(replace(recipe, settings={**recipe.settings, "trainer": trainer}, copies=1))
    assert (set(begun) == {"names.ckpt"}) == is_begun
    notes = [each.name for each in told if "shipped names" in each.name]
    assert notes == ["LSTM, begun from the shipped names, which have 2 of these items"] * is_begun


@pytest.mark.parametrize("copies", [1, 2])
def test_counts_that_add_nothing_are_left_out(
    copies: int, learner: tuple[ListLearner, list[Candidate]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches counts that every sample pays for, and a mixture of one network."""
    monkeypatch.setattr(model, "_MIN_GAIN", -10.0)
    monkeypatch.setattr(model, "fit_weights", lambda _: [0.009, 0.991])
    maker, told = learner
    maker.count()
    maker.mix(replace(RECIPE, copies=copies))
    assert maker.chosen is told[-1]
    assert maker.chosen.name == "MLP"
    maker.save(tmp_path / "best.ckpt", {})
    network = checkpoint.read(tmp_path / "best.ckpt").model["network"]
    classes = [each["class_path"] for each in network["init_args"].get("networks", [network])]
    assert classes == ["mm_lightning.networks.MLP"] * copies


def test_counts_are_kept_where_a_network_gains_nothing(
    learner: tuple[ListLearner, list[Candidate]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches a slower model that is no better, and a list that is read again for each network."""
    monkeypatch.setattr(model, "_MIN_GAIN", 10.0)
    maker, told = learner
    (tmp_path / "words.txt").unlink()  # the items are known
    maker.count()
    counts = maker.chosen
    maker.mix(RECIPE)
    assert maker.chosen is counts
    assert counts.loss == min(candidate.loss for candidate in told if candidate.name.startswith("counts, "))
