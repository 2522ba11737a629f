"""Charts, scatters, settings and histograms of a run, read back from its event files."""

import re
from pathlib import Path

import pytest
import torch
from compare import equal
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2

from mm_lightning.cli.application import main
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import MLP, WaveNet
from mm_lightning.training.callbacks.milestones import Milestones
from mm_lightning.training.callbacks.tensorboard.histograms import measure

EPOCH = 26  # steps
STEPS = 60  # two epochs and a part of a third
MLP_ = ("--model.network", "mm_lightning.networks.MLP", "--model.network.batch_norm", "true")
GRU_ = ("--model.network", "mm_lightning.networks.GRU")
EVERY = ("--histograms.every_n_train_steps", "8")
SHOWN = [8, 16, 24, 32, 40, 48, 56]


def fit(words, *options, steps=STEPS, network=MLP_):
    """Fit; return the last checkpoint and the events of the run."""
    main(
        [
            *("fit", "--data.path", str(words), "--data.batch_size", "5", *network, "--model.network.dropout", "0.3"),
            *("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1"),
            *("--trainer.max_steps", str(steps), "--trainer.enable_model_summary", "false", *options),
        ]
    )
    run = max(Path("lightning_logs").iterdir(), key=lambda run: int(run.name.removeprefix("version_")))
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True), events(run)


def events(run):
    found = EventAccumulator(str(run), {"images": 0, "histograms": 0})  # 0: keep all
    found.Reload()
    return found


def test_scatters_come_often_at_first_and_once_at_the_end(words, monkeypatch):
    """Catches a scatter per epoch, which takes longer than the epoch, no scatter on the way, and a repeated one."""
    monkeypatch.setattr("mm_lightning.training.callbacks.tensorboard.embeddings.PICTURES", Milestones(first_step=EPOCH))
    _, found = fit(words, "--trainer.max_epochs", "7", steps=-1)
    images = found.Images("weights/embedding")
    assert [image.step for image in images] == [EPOCH, 2 * EPOCH, 4 * EPOCH, 7 * EPOCH]
    assert all(image.encoded_image_string.startswith(b"\x89PNG") for image in images)
    assert len({image.encoded_image_string for image in images}) == 4
    _, found = fit(words, "--trainer.max_epochs", "2", steps=-1)
    assert [image.step for image in found.Images("weights/embedding")] == [EPOCH, 2 * EPOCH]


def test_one_chart_shows_both_losses(words):
    """Catches a layout whose patterns match no curve or other curves, and a layout that a resumed run repeats."""
    fit(words, "--trainer.log_every_n_steps", "10", steps=30)
    _, found = fit(words, "--trainer.log_every_n_steps", "10", "--ckpt_path", "last")
    (layout,) = found.Tensors("custom_scalars__config__")
    (category,) = layout_pb2.Layout.FromString(layout.tensor_proto.string_val[0]).category
    (chart,) = category.chart
    scalars = found.Tags()["scalars"]
    assert [[tag for tag in scalars if re.match(pattern, tag)] for pattern in chart.multiline.tag] == [
        ["train/loss"],
        ["val/loss"],
    ]
    assert [event.step for event in found.Scalars("train/loss")] == [10, 20, 30, 40, 50, 60]


def test_settings_are_written_once(words):
    """Catches a resumed run that writes its settings again, which hides val/loss in the HPARAMS tab."""
    fit(words, steps=30)
    fit(words, "--ckpt_path", "last")
    (run,) = Path("lightning_logs").iterdir()
    files = [list(EventFileLoader(str(file)).Load()) for file in sorted(run.glob("events*"))]
    written = [sum("hparams" in value.tag for event in file for value in event.summary.value) for file in files]
    assert written == [3, 0]


def test_histograms_hold_the_values_and_are_off_unless_asked_for(words):
    """Catches histograms of an earlier step, of too few or too many values, and histograms by default."""
    _, found = fit(words)
    assert found.Tags()["histograms"] == []
    saved, found = fit(words, "--histograms.every_n_train_steps", "20")
    weights = {key.removeprefix("network."): value for key, value in saved["state_dict"].items()}
    tags = found.Tags()["histograms"]
    layers = ["embedding", "hidden.0", "hidden.1", "hidden.2", "output"]
    assert sorted(tag for tag in tags if tag.startswith("activations/")) == [f"activations/{name}" for name in layers]
    names = [name for name in weights if "running" not in name and "num_batches" not in name]
    for kind in ("weights", "gradients"):
        assert sorted(tag for tag in tags if tag.startswith(kind)) == sorted(f"{kind}/{name}" for name in names)
    for tag in tags:
        assert [event.step for event in found.Histograms(tag)] == [20, 40, 60]
    for name in names:
        shown = found.Histograms(f"weights/{name}")[-1].histogram_value
        assert shown.num == weights[name].numel()
        assert (shown.min, shown.max) == pytest.approx((float(weights[name].min()), float(weights[name].max())))
    tanh = found.Histograms("activations/hidden.2")[-1].histogram_value
    assert tanh.num == 5 * 200
    assert -1 <= tanh.min < 0 < tanh.max <= 1


@pytest.mark.parametrize("network", [MLP(9, 4, 3, 5, dropout=0.5, batch_norm=True), WaveNet(9, 4, 3, 5)])
def test_measured_gradients_are_those_of_training_and_leave_no_trace(network):
    """Catches gradients of another loss, and statistics, random state or gradients that the extra pass changes."""
    x, y = torch.randint(9, (6, 4)), torch.randint(9, (6,))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = measure(network, x, y)
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(network.state_dict(), before)
    assert all(p.grad is None for p in network.parameters())
    cross_entropy(network(x), y).backward()
    for name, p in network.named_parameters():
        assert torch.equal(found[f"gradients/{name}"], p.grad)
    assert not any(module._forward_hooks for module in network.modules())


BLOCKS = ("--trainer.steps_per_execution", "50")
COMPILED = (*BLOCKS, "--trainer.compile", "true")
WAYS = {
    "single": (),
    "blocks": BLOCKS,
    "words": BLOCKS,
    "bf16": ("--trainer.precision", "bf16-mixed"),
    "accumulated": ("--trainer.accumulate_grad_batches", "2", "--trainer.gradient_clip_val", "1"),
}


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way == "blocks" else pytest.mark.slow) for way in (*WAYS, "compiled")]
)
def test_histograms_change_nothing_and_a_resumed_run_repeats_them(words, way):
    """Catches dropout, statistics or gradients that histograms change, and a set missed within a block or repeated."""
    network = GRU_ if way == "words" else MLP_
    options = COMPILED if way == "compiled" else WAYS[way]
    plain, _ = fit(words, *options, network=network)
    with_histograms, found = fit(words, *options, *EVERY, network=network)
    fit(words, *options, *EVERY, steps=29, network=network)
    resumed, repeated = fit(words, *options, "--ckpt_path", "last", network=network)
    for key in ("state_dict", "optimizer_states", "train_loss", "global_step"):
        assert equal(plain[key], with_histograms[key]), key
        assert equal(plain[key], resumed[key]), key
    assert equal(plain["callbacks"]["random_state"], with_histograms["callbacks"]["random_state"])
    assert len(found.Tags()["histograms"]) > 10
    for tag in found.Tags()["histograms"]:
        shown = [(event.step, event.histogram_value) for event in found.Histograms(tag)]
        assert [step for step, _ in shown] == SHOWN
        assert [(event.step, event.histogram_value) for event in repeated.Histograms(tag)] == shown


def test_a_step_of_several_batches_is_one_point(words):
    """Catches a point of each batch at one step, of which the last is the loss of that batch alone."""
    _, found = fit(words, *WAYS["accumulated"], "--trainer.log_every_n_steps", "4")
    steps = [event.step for event in found.Scalars("train/loss")]
    assert steps == list(range(4, steps[-1] + 1, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--histograms.every_n_train_steps", "0"), "histograms.every_n_train_steps is 0; give int from 1 to"),
        ((*EVERY, "--trainer.logger", "false"), "every_n_train_steps is 8, but trainer.logger is not TensorBoard's"),
    ],
)
def test_an_interval_without_histograms_is_refused(words, capsys, options, message):
    """Catches an ignored setting."""
    with pytest.raises(SystemExit):
        fit(words, *options)
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(Path().glob("lightning_logs/*"))
