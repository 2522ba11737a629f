"""Update rules of optimisers as functions, for the compiled step."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from typing_extensions import override

Tensors = list[Tensor]


class Rule:
    """The update rule of SGD as a function.

    torch's own function takes the learning rate as a number, which would be compiled as a constant.

    Args:
        group: Settings of the optimiser's parameter group.
    """

    def __init__(self, group: dict[str, Any]) -> None:
        self.group = group
        self.state: tuple[str, ...] = (
            ("momentum_buffer",) if group["momentum"] else ()
        )  # names of the tensors per weight

    def moving(self, step: int) -> list[float]:
        """Settings that change from step to step, for the step of this number, from 1; the learning rate first."""
        return [self.group["lr"]]

    def update(self, weights: Tensors, grads: Tensors, state: dict[str, Tensors], moving: Tensor) -> None:
        """Update weights and state in place."""
        rate, momentum, decay = moving[0], self.group["momentum"], self.group["weight_decay"]
        for i, (weight, slope) in enumerate(zip(weights, grads, strict=True)):
            grad = -slope if self.group["maximize"] else slope
            if decay:
                grad = grad + decay * weight
            if momentum:
                mean = state["momentum_buffer"][i]
                mean.mul_(momentum).add_(grad, alpha=1 - self.group["dampening"])
                grad = grad + momentum * mean if self.group["nesterov"] else mean
            weight.sub_(rate * grad)


class AdamRule(Rule):
    """The update rule of Adam and AdamW (Kingma and Ba 2015, Loshchilov and Hutter 2019).

    torch's own function computes two powers of the step's number, and once compiled again for each weight.
    """

    def __init__(self, group: dict[str, Any]) -> None:
        self.group = group
        self.state = ("exp_avg", "exp_avg_sq", "step", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))

    @override
    def moving(self, step: int) -> list[float]:
        """Learning rate, first beta, step size and the scale of the second moment."""
        rate, (beta1, beta2) = self.group["lr"], self.group["betas"]
        return [rate, beta1, rate / (1 - beta1**step), (1 - beta2**step) ** 0.5]

    @override
    def update(self, weights: Tensors, grads: Tensors, state: dict[str, Tensors], moving: Tensor) -> None:
        rate, beta1, step_size, scale = moving.unbind()
        beta2, decay = self.group["betas"][1], self.group["weight_decay"]
        for i, (weight, slope) in enumerate(zip(weights, grads, strict=True)):
            mean, square = state["exp_avg"][i], state["exp_avg_sq"][i]
            grad = -slope if self.group["maximize"] else slope
            if decay and self.group["decoupled_weight_decay"]:
                weight.mul_(1 - rate * decay)
            elif decay:
                grad = grad + decay * weight
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            if self.group["amsgrad"]:
                square = state["max_exp_avg_sq"][i].copy_(torch.maximum(state["max_exp_avg_sq"][i], square))
            weight.sub_(step_size * mean / (square.sqrt() / scale + self.group["eps"]))
            state["step"][i] += 1


def rule_of(optimizer: Optimizer) -> Rule:
    """The update rule of SGD, Adam or AdamW with one parameter group."""
    return (AdamRule if isinstance(optimizer, Adam) else Rule)(optimizer.param_groups[0])
