"""Trials: settings become model, data and Trainer; errors name the setting; callbacks of the base take part."""

import copy
import functools
import math

import pytest
import torch
from sweep_cases import BASE, HIDDEN, RATE

from mm_lightning import UserError
from mm_lightning.networks import MLP
from mm_lightning.sweep import trials
from mm_lightning.sweep.settings import set_value
from mm_lightning.training.stop_signals import StopSignals

STOP_EARLY = {
    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
    "init_args": {"monitor": "val/loss", "stopping_threshold": 100.0},
}


def settings(**values):
    """Settings of the base with these values, dots of their keys written as two underscores."""
    result = copy.deepcopy(BASE)
    for key, value in values.items():
        set_value(result, key.replace("__", "."), value)
    return result


@pytest.mark.usefixtures("words")
def test_values_reach_their_places():
    """Catches numbers taken for strings, null taken for a word, and nested classes left out."""
    schedule = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 5, "gamma": 1e-1}}
    built = trials.build(
        settings(
            model__optimizer__init_args__lr=1e-3,
            model__lr_scheduler=schedule,
            trainer__val_check_interval=None,
            trainer__callbacks=[STOP_EARLY],
        )
    )
    assert built.config["model.optimizer.init_args.lr"] == 0.001
    assert built.config["model.lr_scheduler.init_args"].as_dict().items() >= schedule["init_args"].items()
    assert built.config["trainer.val_check_interval"] is None
    assert built.model.network.embedding.weight.shape == (len(built.model.vocabulary), 3)
    assert built.trainer.max_steps == 40
    assert built.trainer.loggers == []
    assert "EarlyStopping" in [type(callback).__name__ for callback in built.trainer.callbacks]


@pytest.mark.usefixtures("words")
def test_building_leaves_the_settings_alone():
    """Catches a trial whose settings hold defaults or values of the one before."""
    given = settings(trainer__callbacks=[STOP_EARLY])
    before = copy.deepcopy(given)
    trials.build(given)
    assert given == before


@pytest.mark.usefixtures("words")
def test_callbacks_of_the_base_take_part():
    """Catches trials that train longer than a fit with the same settings, and losses reported at wrong steps."""
    reports, signals = [], StopSignals()
    try:
        given = settings(trainer__val_check_interval=10, trainer__check_val_every_n_epoch=None)
        given["trainer"]["callbacks"] = [STOP_EARLY]
        loss = trials.train(given, lambda *report: reports.append(report), signals)
    finally:
        signals.restore()
    assert reports == [(10, loss)]
    assert math.isfinite(loss)


@pytest.mark.usefixtures("words")
def test_a_trial_validates_as_a_fit_does():
    """Catches a validation of every short epoch, whose minimum a fit never reaches; and monitors without a logger."""
    reports, signals = [], StopSignals()
    try:
        given = settings(trainer__max_steps=64)
        given["trainer"]["callbacks"] = [{"class_path": "lightning.pytorch.callbacks.LearningRateMonitor"}]
        given["data"]["batch_size"] = 64  # epochs of two steps
        trials.train(given, lambda *report: reports.append(report), signals)
    finally:
        signals.restore()
    steps = [step for step, _ in reports]
    assert steps[-1] == 64
    assert len(steps) < 20


BAD_VALUES = [
    (
        {"model.network.init_args.hiden_dim": {"int": [1, 2]}},
        "hiden_dim at 1: model.network.hiden_dim is not an option; did you mean hidden_dim?",
    ),
    ({HIDDEN: {"float": [1.5, 2.5]}}, f"space {HIDDEN} at 1.5: .*hidden_dim is 1.5; give int from 1"),
    ({HIDDEN: {"choice": [8, "x"]}}, f"space {HIDDEN} at x: .*hidden_dim is x; give int from 1"),
    ({HIDDEN: {"int": [-5, 8]}}, f"space {HIDDEN} at -5: .*hidden_dim is -5; give int from 1"),
    ({"data.batch_size": {"int": [0, 5]}}, "space data.batch_size at 0: data.batch_size is 0; give int from 1"),
    ({"trainer.accelerator": {"choice": ["cpu", "abacus"]}}, "space trainer.accelerator at abacus: .*invalid"),
]


@pytest.mark.parametrize(("space", "message"), BAD_VALUES)
def test_a_value_that_a_fit_refuses_is_named(plan, space, message):
    """Catches a search that finds out in its last trial that a part of its space is invalid."""
    with pytest.raises(UserError, match=f"(?s){message}"):
        trials.check(plan(space=space))


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"space": {HIDDEN: {"choice": [8, 9]}}}, f"space {HIDDEN} at 9"),
        ({"fixed": {"model.network.init_args.embed_dim": 9}}, "base base.yaml with what is fixed"),
    ],
)
def test_a_bug_found_by_the_check_keeps_its_traceback(plan, options, note, monkeypatch):
    """Catches a bug of a network printed as a mistake of the user, and a traceback that names no setting."""
    real = MLP.__init__

    @functools.wraps(real)
    def buggy(self, *args, **kwargs):
        if 9 in kwargs.values():
            raise TypeError
        real(self, *args, **kwargs)

    monkeypatch.setattr(MLP, "__init__", buggy)
    with pytest.raises(TypeError) as caught:
        trials.check(plan(**options))
    assert caught.value.__notes__ == [note]
    assert caught.traceback[-1].path.name != "trials.py"


@pytest.mark.parametrize(
    ("error", "is_refusal", "can_be_refusal"),
    [
        (UserError("train/loss became nan"), True, True),
        (MemoryError(), True, True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True, True),
        (torch.OutOfMemoryError("CUDA out of memory"), True, True),
        (ValueError("Invalid learning rate: -1"), False, True),
        (RuntimeError("shapes cannot be multiplied"), False, True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False, False),
        (TypeError(), False, False),
        (AssertionError(), False, False),
        (OSError(28, "No space left on device"), False, False),
    ],
)
def test_errors_are_told_from_bugs(error, is_refusal, can_be_refusal):
    """Catches a full disk or a bug recorded as the result of a trial, and a search that one large trial ends."""
    assert trials.is_refusal(error) is is_refusal
    assert trials.can_be_refusal(error) is can_be_refusal


def test_the_rate_alone_can_be_searched(plan):
    """Catches a check that refuses a valid space, or returns another Trainer than that of the base."""
    assert trials.check(plan(space={RATE: {"float": [1e-3, 1.0]}})).max_steps == 40


@pytest.mark.usefixtures("words")
def test_a_trial_is_measured_with_averaged_weights():
    """Catches an averaging callback that trials ignore: an average that stays as it is has one val/loss."""
    losses = []
    average = {"class_path": "averages.FirstWeights"}
    trials.train(
        settings(trainer__callbacks=[average], trainer__check_val_every_n_epoch=1),
        lambda step, loss: losses.append(loss),
        StopSignals(),
    )
    assert len(losses) > 1
    assert len(set(losses)) == 1
