"""One training step under observation: forward pass, loss, backward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.torch.hooks import Observer
from workloads.importers.torch.structure import Chain, find_chain


@dataclass(frozen=True)
class ObservedStep:
    """The chain with what its calls left, the loss, and the gradients of this step's loss alone, by parameter."""

    chain: Chain
    loss: float
    gradients: dict[nn.Parameter, Tensor]


def observed_step(
    model: nn.Module,
    batch: Any,
    target: Any,
    loss: Callable[[Any, Any], Tensor],
    forward: Callable[[nn.Module, Any], Any] | None,
    timesteps: int | None,
) -> ObservedStep:
    """Run one step of `model` and observe it; its parameters' gradients are left as a step without us leaves them.

    Raises InputError for a model that is not being trained, a loss that is no scalar or not connected to the output,
    and whatever the machine cannot do.
    """
    _check_model(model)
    with Observer(model) as observer:
        output = _run(model, batch, forward, timesteps)
    value = loss(output, target)
    _check_loss(value)
    chain = find_chain(observer)
    _watch(chain)
    gradients: dict[nn.Parameter, Tensor] = {}
    handles = [
        parameter.register_hook(lambda gradient, key=parameter: gradients.__setitem__(key, gradient.detach().clone()))
        for parameter in model.parameters()
        if parameter.requires_grad
    ]
    try:
        value.backward()
    finally:
        for handle in handles:
            handle.remove()
    return ObservedStep(chain, float(value.detach()), gradients)


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise InputError("not a model", "model", type(model).__name__, "a torch.nn.Module")
    if not model.training:
        raise InputError("the model is in eval mode; call model.train()", "model", "eval", "train")
    if not torch.is_grad_enabled():
        raise InputError("a training step needs gradients", "model", "under torch.no_grad()", "gradients enabled")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("no parameter of the model requires a gradient", "model", type(model).__name__)


def _run(model: nn.Module, batch: Any, forward: Callable[[nn.Module, Any], Any] | None, timesteps: int | None) -> Any:
    """Return the output of the forward pass; with `timesteps` those of so many calls, stacked."""
    if timesteps is None:
        return model(batch) if forward is None else forward(model, batch)
    if forward is not None:
        raise InputError("forward runs all timesteps itself", "timesteps", timesteps, "timesteps or forward, not both")
    if isinstance(timesteps, bool) or not isinstance(timesteps, int) or timesteps < 1:
        raise InputError("wrong value", "timesteps", timesteps, "a whole number from 1")
    outputs = [model(batch) for _ in range(timesteps)]
    return torch.stack([output[0] if isinstance(output, tuple) else output for output in outputs])


def _check_loss(value: Any) -> None:
    if not isinstance(value, Tensor):
        raise InputError("not a tensor", "loss", type(value).__name__, "a scalar tensor")
    if value.numel() != 1:
        raise InputError("the loss must be a scalar", "loss", list(value.shape), "one element")
    if not value.requires_grad:
        raise InputError(
            "the loss is not connected to the model's parameters", "loss", allowed="a loss with a gradient"
        )


def _watch(chain: Chain) -> None:
    """Keep the gradients at every neuron, and at the output of the last layer."""
    calls = chain.observer.calls
    for name in chain.neurons:
        for call in calls[name]:
            call.watch("input")
    for call in calls[chain.output]:
        call.watch("output")
