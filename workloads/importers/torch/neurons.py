"""What a framework's neuron module does, in the terms of the machine; which modules are neurons at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from rtl_models.errors import InputError
from workloads.importers.chain import Neurons


@dataclass(frozen=True)
class NeuronRule:
    """A neuron module: its constants, and its own operations.

    `potential` gives u[t] of x[t] and of u[t-1] and s[t-1] (None at the first timestep), in the framework's order of
    operations; `surrogate` fires, given u - threshold, and has the surrogate derivative. `multi_step`: a call covers
    all timesteps, the first axis of its tensors.
    """

    framework: str
    constants: Neurons
    multi_step: bool
    potential: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
    surrogate: Callable[[Tensor], Tensor]


def is_neuron(module: nn.Module) -> bool:
    """Whether `module` is a neuron of snnTorch or SpikingJelly, of whatever kind."""
    return _framework(module) is not None


def neuron_rule(name: str, module: nn.Module) -> NeuronRule:
    """Return what the neuron `module` does; raises InputError, naming it, for what the machine cannot do."""
    if _framework(module) == "snntorch":
        from workloads.importers.torch.snntorch_neurons import snntorch_rule

        return snntorch_rule(name, module)
    from workloads.importers.torch.spikingjelly_neurons import spikingjelly_rule

    return spikingjelly_rule(name, module)


def state_before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the potentials that a neuron is about to go on from, None where it starts from 0."""
    if _framework(module) == "snntorch":
        given = args[1] if len(args) > 1 else kwargs.get("mem")
        state = module.mem if given is None else given
    else:
        state = module.v
    usable = isinstance(state, Tensor) and state.shape == args[0].shape[-state.ndim :] and state.ndim > 0
    return state if usable else None


def one_value(values: object, where: str, what: str) -> float:
    """Return the value that all neurons of a layer share, as the shortest decimal; raises InputError if they differ."""
    if not isinstance(values, Tensor):
        return float(values)  # type: ignore[arg-type]
    low, high = float(values.detach().min()), float(values.detach().max())
    if low != high:
        got = f"{values.numel()} values from {low:g} to {high:g}"
        raise InputError(f"neuron parameters per channel: {what}", where, got, "one value for the layer")
    return float(str(np.float32(low)))


def refuse(where: str, what: str, got: object, allowed: str) -> InputError:
    """Return the error for a setting of a neuron module that the machine does not have."""
    return InputError(f"the machine's neurons have no such setting: {what}", where, got, allowed)


def _framework(module: nn.Module) -> str | None:
    for kind in type(module).__mro__:
        if kind.__module__.startswith("snntorch._neurons"):
            return "snntorch"
        if kind.__module__.startswith("spikingjelly.activation_based.neuron"):
            return "spikingjelly"
    return None
