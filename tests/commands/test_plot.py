"""Pictures: the numbers behind them, labels that can be read, and what the command writes or leaves out."""

import copy
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from run_command import FIT, ROOT, run
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from mm_lightning import plots
from mm_lightning.commands.plot import logged_losses
from mm_lightning.data.encoding import encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.activations import tanh_activations
from mm_lightning.evaluation.bigrams import bigram_counts, most_frequent
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import GRU, MLP, RNN, Transformer, WaveNet
from mm_lightning.plots.labels import drawable, spread
from mm_lightning.training import trial_steps
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trial_steps import update_ratios

PNG = b"\x89PNG\r\n\x1a\n"
ALL = ["embedding.png", "bigrams.png", "loss.png", "activations.png", "updates.png"]
WORDS = [f"{a}{b}{c}" for a in "bdklmr" for b in ("a", "ei", "o", "u") for c in ("n", "lla", "s", "nna", "")]


@pytest.mark.parametrize("chunk", [3, 1 << 16])
def test_bigrams_are_those_of_a_naive_loop(monkeypatch, chunk):
    """The first or last bigram of a word forgotten, and those between two pieces."""
    monkeypatch.setattr("mm_lightning.data.text._CHUNK", chunk)
    listed, vocabulary = ["emma", "olivia", "ava", "a", "mm"], Vocabulary("aeilmov")
    expected = Counter(pair for word in listed for pair in pairwise(f".{word}."))
    stream = encode(Items.from_strings(listed), vocabulary).stream.numpy()
    found = bigram_counts(stream, len(vocabulary), np.arange(len(vocabulary)))
    symbols = vocabulary.symbols()
    assert {
        (a, b): found[i, j] for i, a in enumerate(symbols) for j, b in enumerate(symbols) if found[i, j]
    } == expected
    some = most_frequent(stream, len(vocabulary), 3)
    assert [symbols[i] for i in some] == [".", "a", "m"]  # 5, 5 and 4 times; in the order of ids
    assert bigram_counts(stream, len(vocabulary), some).tolist() == found[np.ix_(some, some)].tolist()


def test_a_smoothed_curve_is_a_mean_of_neighbours():
    """A lag, or ends that are pulled to zero."""
    values = np.array([1.0, 2.0, 6.0, 3.0, 8.0])
    assert plots.smoothed(values, 1) == pytest.approx([1.5, 3, 11 / 3, 17 / 3, 5.5])
    assert plots.smoothed(values, 0) == pytest.approx(values)
    assert plots.smoothed(values, 9) == pytest.approx([4.0] * 5)


def test_saturated_units_are_found():
    """A share of examples instead of units, one sign only, or units read before the tanh."""
    network = MLP(3, block_size=1, embed_dim=1, hidden_dim=4).eval()
    with torch.no_grad():
        network.embedding.weight.copy_(torch.tensor([[0.0], [1.0], [-1.0]]))
        network.hidden[0].weight.copy_(torch.tensor([[9.0], [-9.0], [0.5], [0.0]]))
        network.hidden[0].bias.zero_()
    layers = tanh_activations(network, torch.tensor([[0], [1], [2]]), torch.tensor([1, 2, 0]))
    (name, found), *others = layers.items()
    assert (name, others) == ("hidden.1 (Tanh)", [])
    big, half = float(np.tanh(9)), float(np.tanh(0.5))
    expected = [[0, 0, 0, 0], [big, -big, half, 0], [-big, big, -half, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype))
    assert plots.saturated_share(found) == 4 / 12


@pytest.mark.parametrize("kind", [RNN, GRU])
def test_padding_has_no_activations(kind):
    """Units judged by what they answer behind the end of a word."""
    network = kind(5, embed_dim=3, hidden_dim=4).eval()
    x, y = torch.tensor([[0, 1, 2], [0, 3, 0]]), torch.tensor([[1, 2, 0], [3, 0, -100]])
    (found,) = tanh_activations(network, x, y).values()
    states = network.recurrence(network.embedding(x), ())[0]
    torch.testing.assert_close(found, torch.cat([states[0], states[1, :2]]))


def test_every_layer_of_a_tree_is_found_and_no_tanh_where_there_is_none():
    """A layer with places left out, or an error for a network without tanh."""
    found = tanh_activations(WaveNet(5, 8, 4, 6).eval(), torch.zeros(3, 8, dtype=torch.int64), torch.ones(3))
    assert [tuple(values.shape) for values in found.values()] == [(12, 6), (6, 6), (3, 6)]
    assert not tanh_activations(Transformer(5, 8, 1, 2).eval(), torch.zeros(1, 3).long(), torch.ones(1, 3))
    assert not tanh_activations(MLP(5, activation="relu").eval(), torch.zeros(1, 3).long(), torch.ones(1))


def make_model(**settings):
    """A small model, its batches, and what a checkpoint would hold after a step with the first of them."""
    torch.manual_seed(0)
    model = LanguageModel(
        "abcd", lambda size: MLP(size, 2, 3, 4), lambda weights: torch.optim.SGD(weights, **settings), None
    )
    batches = [(torch.randint(5, (6, 2)), torch.randint(5, (6,))) for _ in range(3)]
    optimizer = model.configure_optimizers()
    cross_entropy(model.network(batches[0][0]), batches[0][1]).backward()
    optimizer.step()
    model.zero_grad()
    content = {
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": dict(model.hparams),
        "train_loss": {"sum": torch.zeros(()), "count": 0},
        "global_step": 1,
    }
    return model, batches, content


def test_ratios_are_those_of_steps_by_hand():
    """Gradients taken for updates, a momentum that begins at zero, biases, batches that repeat, and weights moved."""
    model, batches, content = make_model(lr=0.3, momentum=0.9)
    before = copy.deepcopy(model.state_dict())
    momenta = [state["momentum_buffer"].clone() for state in content["optimizer_states"][0]["state"].values()]
    found = update_ratios(model, content, batches[:2], 3)
    assert list(found) == ["embedding.weight", "hidden.0.weight", "output.weight"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    network = copy.deepcopy(model.network)
    names = [name for name, _ in network.named_parameters()]
    for step, (x, y) in enumerate([batches[0], batches[1], batches[0]]):
        grads = torch.autograd.grad(cross_entropy(network(x), y), list(network.parameters()))
        momenta = [0.9 * momentum + grad for momentum, grad in zip(momenta, grads, strict=True)]
        for name, weight, momentum in zip(names, network.parameters(), momenta, strict=True):
            if name in found:
                ratio = (0.3 * momentum).std() / weight.detach().std()
                assert found[name][step] == pytest.approx(float(ratio.log10()), abs=1e-4)
            weight.data -= 0.3 * momentum


def test_a_step_is_made_as_in_the_run():
    """Accumulated batches taken for steps of their own, and clipping forgotten."""
    model, batches, content = make_model(lr=0.3)
    apart = update_ratios(model, content, batches[:2], 1, accumulate=2)
    x, y = (torch.cat(parts) for parts in zip(*batches[:2], strict=True))
    together = update_ratios(model, content, [(x, y)], 1)
    assert {name: value[0] for name, value in apart.items()} == pytest.approx(
        {name: value[0] for name, value in together.items()}, abs=1e-4
    )
    clipped = update_ratios(model, content, [(x, y)], 1, clip=lambda w: nn.utils.clip_grad_norm_(w, 1e-3))
    lower = [float(together[name][0] - clipped[name][0]) for name in together]
    assert min(lower) > 0.5
    assert lower == pytest.approx([lower[0]] * 3, abs=1e-3)


def test_steps_that_diverge_are_said_to():
    """An empty picture, or a warning of numpy's."""
    model, batches, content = make_model(lr=0.1)
    content["optimizer_states"][0]["param_groups"][0]["lr"] = 1e30
    with pytest.raises(ValueError, match="training diverges at step 3"):  # the first made it huge, the second infinite
        update_ratios(model, content, batches, 5)


def test_curves_of_a_resumed_run_are_one(tmp_path):
    """Event files of which only one is read, points that a killed run made twice, and losses without a logarithm."""
    with SummaryWriter(tmp_path) as writer:
        for step, loss in ((1, 4.0), (2, 3.0), (3, 9.0)):
            writer.add_scalar("train/loss", loss, step)
        writer.add_scalar("val/loss", np.inf, 2)
    with SummaryWriter(tmp_path, purge_step=3, filename_suffix=".second") as writer:
        for step, loss in ((3, 2.0), (4, 0.0), (5, 1.0)):
            writer.add_scalar("train/loss", loss, step)
        writer.add_scalar("other", 1.0, 1)
    curves = logged_losses(tmp_path)
    assert curves["train/loss"].steps.tolist() == [1, 2, 3, 5]
    assert curves["train/loss"].losses.tolist() == [4, 3, 2, 1]
    assert "val/loss" not in curves
    (tmp_path / "empty").mkdir()
    assert logged_losses(tmp_path / "empty") == {}


def test_labels_are_pushed_apart_and_no_further():
    """Labels on top of each other, and labels that leave points where they have room."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(60, 2)), np.zeros((20, 2)), [[50.0, 50.0]]])
    sizes = np.tile([0.3, 0.2], (81, 1))
    centres = spread(points, sizes)
    apart = np.abs(centres[:, None] - centres[None]) >= sizes * (1 - 1e-4)
    assert (apart.any(2) | np.eye(81, dtype=bool)).all()
    assert centres[-1].tolist() == [50, 50]
    assert np.abs(centres - points).max() < 3


def test_what_the_font_lacks_is_named_by_its_code_point(tmp_path):
    """Boxes, warnings about glyphs, formulas, and marks that sit on nothing."""
    assert drawable([".", "a", "é", "ש", "中", "\u05b7", "the", "中x"]) == [
        ".", "a", "é", "ש", "U+4E2D", "\u25cc\u05b7", "the", "U+4E2Dx",
    ]  # fmt: skip
    symbols = [".", "$", "_", "^", "\\", "中", "🚀", "ש", "\u0301", "' '"]
    counts = np.arange(100).reshape(10, 10)
    for figure in (
        plots.embedding_scatter(torch.randn(10, 5), symbols),
        plots.bigram_heat_map(counts, symbols, "symbols"),
    ):
        figure.savefig(tmp_path / "x.png")  # a warning would be an error
    written = [text.get_text() for text in figure.axes[0].texts]
    assert len(written) == 100
    upright = [tick.label2.get_rotation() == 0 for tick in figure.axes[0].xaxis.get_major_ticks()]
    assert upright == [True] * 5 + [False] * 2 + [True] * 2 + [False]  # what is long has no room across
    assert written[12] == "$_\n12"
    assert written[15] == "15"  # there is no room for U+4E2D


def test_a_large_alphabet_has_labels_and_no_counts():
    """Cells written over each other, and axes without labels."""
    symbols = [chr(0x21 + i) for i in range(90)]
    axes = plots.bigram_heat_map(np.ones((90, 90), np.int64), symbols, "many").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == symbols
    assert not axes.texts
    assert len(plots.embedding_scatter(torch.randn(90, 2), symbols).axes[0].texts) == 90


def test_many_matrices_are_rows_and_few_are_lines():
    """A legend of twenty colours, and a guide that is not drawn."""
    ratios = {f"layer {i}": np.full(7, -2.0 - i / 10) for i in range(20)}
    rows = plots.update_curves(ratios, 11, "many").axes[0]
    assert rows.images[0].get_array().shape == (20, 7)
    assert rows.images[0].get_extent()[:2] == [10.5, 17.5]
    assert rows.get_yticklabels()[3].get_text() == "layer 3: -2.30"
    lines = plots.update_curves(dict(list(ratios.items())[:2]), 11, "few").axes[0].lines
    assert [line.get_xdata()[0] for line in lines[:2]] == [11, 11]
    assert list(lines[2].get_ydata()) == [-3, -3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of 60 steps, stopped and resumed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    options = ("--data.path", "words.txt", "--trainer.log_every_n_steps", 5, "--trainer.gradient_clip_val", 0.01)
    for more in (("--trainer.max_steps", 30), ("--trainer.max_steps", 60, "--ckpt_path", "last")):
        result = run(*FIT, *options, *more, cwd=folder)
        assert result.returncode == 0, result.stderr
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_command_writes_all_pictures_and_changes_nothing(trained, tmp_path):
    """A picture that is no picture, a run folder written to, one more step in the checkpoint, and files half-made."""
    before = contents(trained)
    done = run("plot", "--ckpt_path", "last", "--output", tmp_path / "new/plots", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "new/plots" / name) for name in ALL]
    assert sorted(path.name for path in (tmp_path / "new/plots").iterdir()) == sorted(ALL)
    assert all(picture.startswith(PNG) for picture in contents(tmp_path).values())
    assert contents(trained) == before
    assert "Warning" not in done.stderr


def test_without_its_data_a_checkpoint_is_drawn_in_part(trained, tmp_path):
    """An error where two pictures need no data, or pictures missing without a word."""
    (trained / "words.txt").rename(trained / "words.away")
    done = run("plot", "--ckpt_path", "best", "--output", tmp_path / "plots", cwd=trained)
    (trained / "words.away").rename(trained / "words.txt")
    assert done.returncode == 0, done.stderr
    *written, left_out = done.stdout.splitlines()
    assert written == [str(tmp_path / "plots" / name) for name in ("embedding.png", "loss.png")]
    assert left_out.startswith("left out: bigrams.png (words.txt: no such file;")
    assert all(f"{name} (words.txt: no such file" in left_out for name in ("activations.png", "updates.png"))


def test_the_steps_drawn_are_those_of_the_run(trained, tmp_path, monkeypatch):
    """Clipping of the run forgotten, or an option that says otherwise; updates on other data than the run's."""
    seen = []
    monkeypatch.chdir(trained)
    monkeypatch.setattr(
        "mm_lightning.commands.plot.update_ratios",
        lambda *args: seen.append((args[4], args[5].keywords)) or trial_steps.update_ratios(*args),
    )
    from mm_lightning.cli.application import main  # noqa: PLC0415 # beside what it is about

    options = ["plot", "--ckpt_path", "last", "--output", str(tmp_path)]
    main(options)
    main([*options, "--trainer.gradient_clip_val", "2", "--trainer.accumulate_grad_batches", "3"])
    assert seen == [(1, {"max_norm": 0.01}), (3, {"max_norm": 2.0})]
    (tmp_path / "other.txt").write_text("\n".join(reversed(WORDS)))
    done = run(*options, "--data.path", tmp_path / "other.txt", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "left out: updates.png" in done.stdout
    assert "is not what this checkpoint was trained on" in done.stdout


def test_a_counted_network_has_its_bigrams_and_says_the_rest(tmp_path):
    """A traceback for a network without weights, or no word on what it cannot have."""
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    config = ROOT / "configs/bigram_counts.yaml"
    assert run("fit", "--config", config, "--data.path", "words.txt", cwd=tmp_path).returncode == 0
    done = run("plot", "--ckpt_path", "last", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written, left_out = done.stdout.splitlines()
    assert written == "plots/bigrams.png"
    assert "embedding.png (NGram has no embedding table)" in left_out
    assert "loss.png (" in left_out
    assert "has no curve of train/loss" in left_out
    assert "activations.png (NGram has no tanh units)" in left_out
    assert "updates.png (NGram is fitted by counting, without steps)" in left_out
    (tmp_path / "words.txt").unlink()
    done = run("plot", "--ckpt_path", "last", "--output", "none", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: nothing to draw: embedding.png (")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("words.txt", "output: words.txt cannot be made a folder: File exists"),
        ("words.txt/plots", "output: words.txt/plots cannot be made a folder: Not a directory"),
    ],
)
def test_a_folder_that_cannot_be_written_is_an_error(trained, output, message):
    """A traceback, or a picture that takes the place of a file."""
    before = contents(trained)
    done = run("plot", "--ckpt_path", "last", "--output", output, cwd=trained)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {message}"
    assert contents(trained) == before
