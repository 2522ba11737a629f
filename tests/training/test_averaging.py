"""Averages of the weights: the same in blocks, compiled or not, after a resume, and in each file that has them."""

import copy
import re
from contextlib import chdir
from functools import cache
from pathlib import Path

import pytest
import torch
from averages import WeightRecorder
from compare import equal

from mm_lightning import UserError
from mm_lightning.cli.application import build, main
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint.keys import AVERAGING, TRAINED

STEPS = 60  # two epochs of 26 steps and a part of a third
EMA = ("--trainer.callbacks+=EMAWeightAveraging", "--trainer.callbacks.decay=0.9")
CALLBACKS = {
    "ema": EMA,
    "rare": (*EMA, "--trainer.callbacks.update_every_n_steps=3", "--trainer.callbacks.update_starting_at_step=8"),
    "parameters": (*EMA, "--trainer.callbacks.use_buffers=false"),
    "mean": ("--trainer.callbacks+=WeightAveraging",),
    "late": ("--trainer.callbacks+=averages.LateAverage",),
    "epochs": ("--trainer.callbacks+=averages.EpochAverage",),
}
KEYS = ("state_dict", TRAINED, AVERAGING, "optimizer_states", "global_step", "train_loss")
RUN = Path("lightning_logs/version_0/checkpoints")


def fit(words, *options, steps=STEPS, at_once=1, run="version_0"):
    """The last checkpoint of a run of a network with batch statistics and dropout."""
    main(
        [
            *(
                "fit",
                "--data.path",
                str(words),
                "--data.batch_size",
                "5",
                "--model.network",
                "mm_lightning.networks.MLP",
            ),
            *("--model.network.batch_norm", "true", "--model.network.dropout", "0.2"),
            *("--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01"),
            *("--trainer.max_steps", str(steps), "--trainer.steps_per_execution", str(at_once), *options),
        ]
    )
    return torch.load(Path("lightning_logs") / run / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def single(words_elsewhere, tmp_path_factory):
    """The last checkpoints of uninterrupted runs in single steps; tests only read them, so each is made once."""

    @cache
    def make(case):
        with chdir(tmp_path_factory.mktemp(case)):
            return fit(words_elsewhere, *CALLBACKS[case])

    return make


@pytest.mark.parametrize("case", CALLBACKS)
@pytest.mark.parametrize("at_once", [7, 64])
def test_the_average_of_blocks_is_that_of_single_steps(words, single, case, at_once):
    """Catches an average that is updated once per block, and one that disturbs training."""
    blocks = fit(words, *CALLBACKS[case], at_once=at_once)
    for key in KEYS:
        assert equal(single(case)[key], blocks[key]), key
    assert not equal(blocks["state_dict"], blocks[TRAINED])
    updates = {"ema": STEPS, "rare": 17, "parameters": STEPS, "mean": STEPS, "late": STEPS - 19, "epochs": 3}
    assert int(blocks[AVERAGING]["n_averaged"]) == updates[case]


@pytest.mark.parametrize("case", ["ema", "late"])
def test_the_average_is_that_of_the_formula(words, case):
    """Catches an update before its step, one left out or done twice, and a wrong start."""
    last = fit(words, *CALLBACKS[case], "--trainer.callbacks+=averages.WeightRecorder")
    seen = WeightRecorder.seen
    assert len(seen) == STEPS
    for name, value in last["state_dict"].items():
        if not value.is_floating_point():
            continue
        expected = seen[0][name].double()
        for weights in seen[1:]:
            expected = 0.9 * expected + 0.1 * weights[name]
        if case == "late":
            expected = torch.stack([weights[name].double() for weights in seen[19:]]).mean(0)
        assert torch.allclose(value.double(), expected, atol=1e-6), name


@pytest.mark.parametrize("stop", [1, 10, 26, 34])
@pytest.mark.parametrize(("case", "before", "after"), [("ema", 1, 1), ("ema", 16, 16), ("late", 1, 16)])
def test_a_resumed_run_has_the_average_of_an_uninterrupted_one(words, single, case, before, after, stop):
    """Catches a last.ckpt that loses the average, or at the run's end the weights in training."""
    fit(words, *CALLBACKS[case], steps=stop, at_once=before)
    resumed = fit(words, *CALLBACKS[case], "--ckpt_path", "last", at_once=after)
    for key in KEYS:
        assert equal(single(case)[key], resumed[key]), key


COMPILE = ("--trainer.compile", "true")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["ema", "rare", "parameters", "late", "epochs"])
def test_compiled_steps_have_the_average_too(words, case):
    """Catches another average in the compiled loop, and one that hangs on where blocks end."""
    plain = ("--model.network.dropout", "0")  # compiled dropout draws other numbers
    single = fit(words, *CALLBACKS[case], *plain)
    whole = fit(words, *CALLBACKS[case], *plain, *COMPILE, at_once=16, run="version_1")
    assert whole["compiled_steps"] is True
    for key in ("state_dict", TRAINED):
        for name, value in single[key].items():
            assert torch.allclose(value.double(), whole[key][name].double(), atol=2e-3), name
    assert equal(single[AVERAGING], whole[AVERAGING])
    assert equal(states(single), states(whole))
    fit(words, *CALLBACKS[case], *plain, *COMPILE, at_once=16, steps=26 if case == "epochs" else 27, run="version_2")
    resumed = fit(words, *CALLBACKS[case], *plain, "--ckpt_path", "last", at_once=16, run="version_2")
    for key in KEYS:
        assert equal(whole[key], resumed[key]), key


def states(content):
    """States of the callbacks of Lightning or of tests."""
    own = {checkpoint.BEST_CHECKPOINT, checkpoint.RANDOM_STATE, checkpoint.RUN_CONFIG}
    return {key: value for key, value in content["callbacks"].items() if key not in own}


@pytest.mark.parametrize("case", ["ema", "epochs"])
def test_the_best_checkpoint_has_the_weights_as_measured(words, capsys, case):
    """Catches val/loss of the average beside the weights in training, and an average updated after its measurement."""
    fit(words, *CALLBACKS[case], "--trainer.check_val_every_n_epoch", "1", at_once=16, steps=52)
    best = torch.load(RUN / "best.ckpt", weights_only=True)
    assert not equal(best["state_dict"], best[TRAINED])
    capsys.readouterr()
    main(["validate", "--ckpt_path", str(RUN / "best.ckpt"), "--data.path", str(words)])
    measured = re.search(r"val/loss +([\d.]+)", capsys.readouterr().out)
    assert float(measured[1]) == pytest.approx(best["callbacks"][checkpoint.BEST_CHECKPOINT]["best_model_score"], 1e-9)


def predicted(capsys, path):
    capsys.readouterr()
    main(["predict", "--ckpt_path", str(path), "--sampling.num_samples", "20"])
    return capsys.readouterr().out


@pytest.mark.parametrize("at_once", [1, 16])
def test_samples_validation_and_predict_have_the_average(words, capsys, at_once):
    """Catches samples of the weights in training: the average of this run is what one step leaves."""

    def lines():
        return re.findall(r"val/loss [\d.]+; samples.*", capsys.readouterr().out)

    fit(words, "--trainer.callbacks+=averages.FirstWeights", at_once=at_once, steps=130)
    long = lines()
    after_long = predicted(capsys, RUN / "last.ckpt")
    one = fit(words, steps=1, run="version_1")
    short = lines()
    assert len(long) > 1
    assert len(short) == 1
    assert {line.partition(";")[2] for line in long} == {short[0].partition(";")[2]}
    assert predicted(capsys, "lightning_logs/version_1/checkpoints/last.ckpt") == after_long
    last = torch.load(RUN / "last.ckpt", weights_only=True)
    assert equal(last["state_dict"], one["state_dict"])
    assert not equal(last[TRAINED], one["state_dict"])


def test_other_commands_need_no_callback(words, capsys):
    """Catches a checkpoint with averages that score, plot or another run cannot open."""
    fit(words, *EMA)
    capsys.readouterr()
    main(["score", "--ckpt_path", str(RUN / "last.ckpt"), "ban", "kolla"])
    assert capsys.readouterr().out.count("\n") == 3
    main(["plot", "--ckpt_path", str(RUN / "last.ckpt"), "--output", "plots"])
    assert Path("plots/updates.png").is_file()
    fit(words, "--init_from", str(RUN / "last.ckpt"), steps=1, run="version_1")


@pytest.mark.usefixtures("words")
def test_a_model_of_several_processes_can_be_copied():
    """Catches a lock in the settings of several devices, on which Lightning's copy of the model fails."""
    network = {"class_path": "mm_lightning.networks.MLP", "init_args": {"hidden_dim": 8}}
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
    trainer = {"accelerator": "cpu", "devices": 2, "logger": False}
    built = build(
        {"model": {"network": network, "optimizer": optimizer}, "data": {"path": "words.txt"}, "trainer": trainer}
    )
    copied = copy.deepcopy(built.model)
    optimized = copied.optimization.make_optimizer().param_groups[0]["params"]
    assert {id(p) for p in optimized} == {id(p) for p in copied.network.parameters()}
    assert {id(p) for p in optimized}.isdisjoint(id(p) for p in built.model.network.parameters())


STOCHASTIC = (
    "--trainer.callbacks+=StochasticWeightAveraging",
    "--trainer.callbacks.swa_lrs=0.1",
    "--trainer.callbacks.device=cpu",
)
REFUSED = {
    "two": ((*EMA, *CALLBACKS["mean"]), "trainer.callbacks has EMAWeightAveraging and WeightAveraging, and a run has"),
    "stochastic": (STOCHASTIC, "trainer.callbacks has StochasticWeightAveraging, which replaces the schedule"),
    "counted": (
        (*EMA, "--model.network=mm_lightning.networks.NGram", "--model.optimizer=null", "--data.batch_size=null"),
        "trainer.callbacks has EMAWeightAveraging, but counting has no steps to average",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_average_is_refused(words, capsys, case):
    """Catches a callback that is ignored, or that ends in a traceback."""
    options, message = REFUSED[case]
    with pytest.raises(SystemExit):
        main(
            [
                *("fit", "--data.path", str(words), "--model.network", "mm_lightning.networks.MLP"),
                *("--model.optimizer", "torch.optim.Adam", *options),
            ]
        )
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {message}")
    assert not Path("lightning_logs").exists()


def test_a_resume_without_the_callback_is_refused(words, capsys):
    """Catches a run that goes on from the average with the optimiser of the weights in training."""
    fit(words, *EMA, steps=10)
    before = (RUN / "last.ckpt").read_bytes()
    with pytest.raises(SystemExit):
        fit(words, "--ckpt_path", "last")
    assert "last.ckpt has averaged weights: give its callback again" in capsys.readouterr().err.splitlines()[-1]
    assert (RUN / "last.ckpt").read_bytes() == before


def test_an_average_can_begin_in_a_resumed_run(words):
    """Catches a resume that asks the checkpoint for an average it has not."""
    whole = fit(words)
    fit(words, steps=10, run="version_1")
    with pytest.warns(UserWarning, match="not created with WeightAveraging"):
        last = fit(words, *EMA, "--ckpt_path", "last", run="version_1")
    assert equal(last[TRAINED], whole["state_dict"])
    assert int(last[AVERAGING]["n_averaged"]) == STEPS - 10


DAMAGES = {
    "weights": (TRAINED, {"network.output.weight": torch.zeros(2, 2)}),
    "nan": (TRAINED, {"network.output.weight": torch.tensor([torch.nan])}),
    "number": (AVERAGING, {}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_average_is_refused_in_one_line(words, capsys, damage):
    """Catches a traceback of Lightning's callback, after the run was touched."""
    fit(words, *EMA, steps=10)
    content = torch.load(RUN / "last.ckpt", weights_only=True)
    key, value = DAMAGES[damage]
    content[key] = {**content[key], **value} if value else value
    checkpoint.save(content, RUN / "last.ckpt")
    with pytest.raises(SystemExit):
        fit(words, *EMA, "--ckpt_path", "last")
    assert re.search("damaged|not finite", capsys.readouterr().err.splitlines()[-1])
    if damage == "number":
        with pytest.raises(UserError, match=r"averaging_state.n_averaged is missing"):
            checkpoint.load(RUN / "last.ckpt")


def test_a_range_test_says_that_it_averages_nothing(words, caplog):
    """Catches a callback that lr_find ignores without a word."""
    main(
        [
            *("lr_find", "--data.path", str(words), "--model.network", "mm_lightning.networks.MLP", "--num_steps=100"),
            *("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1", *EMA),
        ]
    )
    assert "trainer.callbacks has EMAWeightAveraging: a range test averages no weights" in caplog.text
