"""Steps on a copy of a model, against steps by hand, and the update ratios measured on them."""

import copy
import math

import pytest
import torch
from compare import equal
from dropout_mlp import DropoutMLP
from lightning.pytorch.plugins import MixedPrecision

from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import MLP
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.optimization import Optimization
from mm_lightning.training.trainer import Trainer
from mm_lightning.training.trial_steps import TrialSteps, update_ratios


def make_trainer(**settings):
    return Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, **settings)


def make_model(optimizer=torch.optim.SGD, **settings):
    """A small model, its batches, and the content of a checkpoint after a step on the first batch."""
    torch.manual_seed(0)
    model = LanguageModel("abcd", lambda size: MLP(size, 2, 3, 4), lambda weights: optimizer(weights, **settings), None)
    batches = [(torch.randint(5, (6, 2)), torch.randint(5, (6,))) for _ in range(3)]
    stepper = model.optimization.make_optimizer()
    loss = cross_entropy(model.network(batches[0][0]), batches[0][1])
    loss.backward()
    stepper.step(lambda: loss)
    model.zero_grad()
    content = {
        "optimizer_states": [stepper.state_dict()],
        "hyper_parameters": dict(model.hparams),
        "lr_schedulers": [],
        "global_step": 1,
    }
    return model, batches, content


def joined(batches):
    return [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]


def ratios(model, batches, content, num_steps, **settings):
    return update_ratios(TrialSteps(make_trainer(**settings), model, batches, content), num_steps, 2)


def test_ratios_are_those_of_steps_by_hand():
    """Catches gradients taken for updates, a momentum that begins at zero, biases, and batches that do not repeat."""
    model, batches, content = make_model(lr=0.3, momentum=0.9)
    momenta = [state["momentum_buffer"].clone() for state in content["optimizer_states"][0]["state"].values()]
    found = ratios(model, batches[:2], content, 3)
    assert list(found) == ["embedding.weight", "hidden.0.weight", "output.weight"]
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


def test_model_and_checkpoint_stay_as_they_are():
    """Catches steps on the model itself, and an optimiser that shares its state with the checkpoint."""
    model, batches, content = make_model(torch.optim.AdamW, lr=0.3)
    before = copy.deepcopy(model.state_dict()), copy.deepcopy(content["optimizer_states"])
    trial = TrialSteps(make_trainer(), model, batches, content)
    trial.step()
    assert equal((model.state_dict(), content["optimizer_states"]), before)
    assert all(p.grad is None for p in model.parameters())
    assert not equal(trial.network.state_dict(), model.network.state_dict())


@pytest.mark.parametrize(("optimizer", "settings"), [(torch.optim.SGD, {}), (torch.optim.LBFGS, {"max_iter": 3})])
def test_the_loss_is_that_before_the_step(optimizer, settings):
    """Catches the loss after the step, of the last of several evaluations, or of one of the accumulated batches."""
    model, batches, _ = make_model(optimizer, lr=0.3, **settings)
    ((x, y),) = joined(batches)
    trial = TrialSteps(make_trainer(accumulate_grad_batches=3), model, batches)
    before = cross_entropy(model.network(x), y).item()
    after = loss_after_step(model, optimizer, settings, x, y)
    assert [trial.step(), trial.step()] == pytest.approx([before, after])


def loss_after_step(model, optimizer, settings, x, y):
    """Loss of a batch after one step of torch's optimiser on the batch."""
    network = copy.deepcopy(model.network)
    stepper = optimizer(network.parameters(), lr=0.3, **settings)

    def closure():
        stepper.zero_grad()
        loss = cross_entropy(network(x), y)
        loss.backward()
        return loss

    stepper.step(closure)
    return cross_entropy(network(x), y).item()


def test_a_step_is_made_as_in_the_run():
    """Catches accumulated batches taken for steps of their own, and clipping forgotten."""
    model, batches, content = make_model(lr=0.3)
    apart = ratios(model, batches[:2], content, 1, accumulate_grad_batches=2)
    together = ratios(model, joined(batches[:2]), content, 1)
    assert {name: value[0] for name, value in apart.items()} == pytest.approx(
        {name: value[0] for name, value in together.items()}, abs=1e-4
    )
    clipped = ratios(model, joined(batches[:2]), content, 1, gradient_clip_val=1e-3)
    lower = [float(together[name][0] - clipped[name][0]) for name in together]
    assert min(lower) > 0.5
    assert lower == pytest.approx([lower[0]] * 3, abs=1e-3)


@pytest.mark.parametrize("steps_per_execution", [1, 10])
def test_clipping_by_value_limits_every_update(steps_per_execution):
    """Catches clipping by norm in place of values, and clipping lost where the run's steps come in blocks."""
    model, batches, _ = make_model(lr=1.0)
    settings = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": "value"}
    trial = TrialSteps(make_trainer(steps_per_execution=steps_per_execution, **settings), model, batches)
    trial.step()
    pairs = zip(trial.network.parameters(), model.network.parameters(), strict=True)
    moved = [float((a - b).abs().max().detach()) for a, b in pairs]
    assert moved == pytest.approx([1e-3] * len(moved), rel=1e-3)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", torch.float32), ("64-true", torch.float64)])
def test_a_step_has_the_precision_of_the_trainer(precision, dtype):
    """Catches steps in float32 whatever the Trainer says, and a model that changes its own precision."""
    model, batches, _ = make_model(lr=0.3)
    seen = []
    trial = TrialSteps(make_trainer(precision=precision), model, batches)
    trial.network.output.register_forward_hook(lambda _, __, logits: seen.append(logits.dtype))
    trial.step()
    assert seen == [torch.bfloat16 if precision == "bf16-mixed" else dtype]
    assert trial.network.output.weight.dtype == dtype
    assert model.network.output.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("has_bfloat16", "precision"), [(True, "bf16-mixed"), (False, "32-true"), (False, "bf16-mixed")]
)
def test_slow_bfloat16_is_told(monkeypatch, caplog, has_bfloat16, precision):
    """Catches a run that takes ten times as long as it could without a word, and a line that is not true."""
    monkeypatch.setattr("mm_lightning.training.trainer.has_bfloat16", lambda: has_bfloat16)
    caplog.set_level("INFO")
    make_trainer(precision=precision)
    is_slow = precision == "bf16-mixed" and not has_bfloat16
    assert ("trainer.precision is bf16-mixed, but this processor has no bfloat16" in caplog.text) == is_slow


def test_a_scaled_loss_gives_the_same_step():
    """Catches gradients that are clipped or applied before the loss scale is removed, as 16-mixed has it on a GPU."""
    model, batches, _ = make_model(lr=0.3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    plain = TrialSteps(make_trainer(gradient_clip_val=0.1), model, batches)
    scaled = TrialSteps(
        make_trainer(gradient_clip_val=0.1, plugins=MixedPrecision("16-mixed", "cpu", scaler)), model, batches
    )
    assert scaled.step() == pytest.approx(plain.step(), rel=1e-2)
    for a, b, start in zip(*(n.parameters() for n in (scaled.network, plain.network, model.network)), strict=True):
        torch.testing.assert_close(a - start, b - start, rtol=0.05, atol=1e-4)
    assert scaler.get_scale() == 1024.0  # the update was applied


def test_the_learning_rate_can_be_set():
    """Catches a rate that reaches only the first group, or none."""
    model, batches, _ = make_model(lr=0.3)
    trial = TrialSteps(make_trainer(), model, batches)
    trial.set_learning_rate(0.0)
    trial.step()
    assert equal(trial.network.state_dict(), model.network.state_dict())
    trial.set_learning_rate(1e-3)
    trial.step()
    moved = (trial.network.output.bias - model.network.output.bias).abs().max()
    assert 0 < moved < 1e-3


def test_settings_that_the_user_changed_replace_those_of_the_checkpoint():
    """Catches a learning rate that is ignored, and an error where the schedule spans a run of unknown length."""
    model, batches, content = make_model(lr=0.3)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR
    made = one_cycle(model.optimization.make_optimizer(), max_lr=0.3, total_steps=50)
    content["lr_schedulers"] = [made.state_dict()]
    before = ratios(model, batches, content, 1)
    content["hyper_parameters"] = {**content["hyper_parameters"], "lr_scheduler": "another"}
    model.optimization.lr_scheduler = OneCycle()
    after = ratios(model, batches, content, 1)
    rate = made_rate(model, 50)
    for name, value in before.items():
        assert after[name][0] - value[0] == pytest.approx(math.log10(rate / 0.3), abs=1e-2)


class OneCycle:
    """A schedule as jsonargparse injects it, with a maximum far below the optimiser's rate."""

    func = torch.optim.lr_scheduler.OneCycleLR
    keywords = {"max_lr": 0.003}  # noqa: RUF012 # never changed

    def __call__(self, optimizer, **settings):
        return self.func(optimizer, **self.keywords, **settings)


def made_rate(model, total_steps):
    """Learning rate of the second step of that schedule."""
    optimizer = model.optimization.make_optimizer()
    schedule = OneCycle()(optimizer, total_steps=total_steps)
    optimizer.step()
    schedule.step()
    return optimizer.param_groups[0]["lr"]


def test_steps_that_diverge_are_said_to():
    """Catches an empty figure, or a warning of numpy's."""
    model, batches, content = make_model(lr=0.1)
    content["optimizer_states"][0]["param_groups"][0]["lr"] = 1e30
    with pytest.raises(ValueError, match="training diverges at step 3"):  # the first made it huge, the second infinite
        ratios(model, batches, content, 5)


def test_dropout_is_that_of_training():
    """Catches steps in eval mode, and a copy that leaves the model in train mode."""
    model, batches, _ = make_model(lr=0.3)
    model.network = DropoutMLP(5, 2)
    model.eval().optimization = Optimization(model.network, torch.optim.SGD, None)
    trial = TrialSteps(make_trainer(), model, batches[:1])
    trial.set_learning_rate(0.0)
    assert trial.step() != trial.step()
    assert not model.network.training
