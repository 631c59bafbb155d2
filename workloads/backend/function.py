"""One training step of the machine as a function of PyTorch's automatic differentiation, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from rtl_models.reference.gradient import scaled_gradient
from rtl_models.reference.rounding import round_in_place, rounding
from workloads.forward import Activity, ForwardResult, forward_pass
from workloads.network import Network
from workloads.record import Arithmetic, Floats
from workloads.training_step import BackwardResult, step_backward


class Machine(Protocol):
    """What a step is taken with, and who is told what came of it."""

    network: Network
    arithmetic: Arithmetic
    scale_log2: int

    def observe(self, result: BackwardResult) -> None:
        """Take notice of a backward pass that is done."""


class H2LearnFunction(torch.autograd.Function):
    """Logits of images or spikes, and the weights' gradients, in the machine's arithmetic (docs/contract.md).

    `H2LearnFunction.apply(machine, inputs, *master)`: bytes [B, H, W, C] or spikes [T, B, H, W, C], binary32 master
    weights [M, R, S, C] of every layer; logits [B, classes] in binary64. Stored weights are W16 = round(master). The
    loss's gradient by the logits becomes g16 = round(2^q gradient / T); a weight's gradient is 2^-q dW, rounded once to
    binary32, or NaN in all layers if any stored value of the step is not finite.
    """

    @staticmethod
    def forward(ctx: Any, machine: Machine, inputs: torch.Tensor, *master: torch.Tensor) -> torch.Tensor:
        """Run the forward pass; potentials, spikes and masks become saved tensors."""
        weights = stored_weights(master, machine.arithmetic)
        result = forward_pass(machine.network, machine.arithmetic, weights, np.ascontiguousarray(inputs))
        states = [torch.from_numpy(array) for layer in result.activity.values() for array in vars(layer).values()]
        ctx.save_for_backward(inputs, *master, *states)
        ctx.machine, ctx.forward_result = machine, replace(result, activity={})
        return torch.from_numpy(result.logits)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Run the backward pass and the sums of the weight update from the gradient by the logits, [B, classes]."""
        machine: Machine = ctx.machine
        network, arithmetic, scale_log2 = machine.network, machine.arithmetic, machine.scale_log2
        inputs, *saved = ctx.saved_tensors
        master, states = saved[: len(network.layers)], [tensor.numpy() for tensor in saved[len(network.layers) :]]
        activity = {number: Activity(*states[3 * i : 3 * i + 3]) for i, number in enumerate(network.hidden)}
        forward: ForwardResult = replace(ctx.forward_result, activity=activity)
        g16 = scaled_gradient(gradient.numpy(), network.timesteps, scale_log2, (arithmetic.sum, arithmetic.value))
        weights = stored_weights(master, arithmetic)
        result = step_backward(network, arithmetic, weights, np.ascontiguousarray(inputs), forward, g16)
        machine.observe(result)
        return None, None, *(torch.from_numpy(dw) for dw in _unscaled(result, scale_log2))


def stored_weights(master: Sequence[torch.Tensor], arithmetic: Arithmetic) -> tuple[Floats, ...]:
    """Return W16, the master weights rounded to the value format."""
    stored = tuple(weights.detach().numpy().copy() for weights in master)
    for weights in stored:
        round_in_place(weights.reshape(-1), rounding(arithmetic.value))
    return stored


def _unscaled(result: BackwardResult, scale_log2: int) -> tuple[Floats, ...]:
    """Return g = round32(2^-q dW) of every layer, NaN where the step is to be skipped."""
    gradients = [update.weight_gradient for update in result.updates]
    if not result.finite:
        return tuple(np.full_like(dw, np.nan) for dw in gradients)
    with np.errstate(over="ignore", under="ignore"):
        return tuple(np.ldexp(dw, -scale_log2) for dw in gradients)
