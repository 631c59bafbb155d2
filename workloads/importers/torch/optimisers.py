"""The state of a PyTorch optimiser that the machine's can go on from: SGD with momentum and weight decay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rtl_models.errors import InputError

_CONSTANTS = ("lr", "momentum", "weight_decay")


@dataclass(frozen=True)
class SgdState:
    """Learning rate, momentum, weight decay, and the velocities that stand already; nothing moves without them."""

    rates: tuple[float, float, float] = (0.0, 0.0, 0.0)
    velocities: dict[nn.Parameter, Tensor] = field(default_factory=dict)


def sgd_state(optimiser: torch.optim.Optimizer | None) -> SgdState:
    """Return the state of `optimiser`; raises InputError for another kind than the machine's, or rates by group."""
    if optimiser is None:
        return SgdState()
    if not isinstance(optimiser, torch.optim.SGD):
        raise InputError("the machine's optimiser is SGD", "optimiser", type(optimiser).__name__, "torch.optim.SGD")
    first = optimiser.param_groups[0]
    for group in optimiser.param_groups:
        for key in ("dampening", "nesterov", "maximize"):
            if group[key]:
                raise InputError("the machine's SGD has no such setting", f"optimiser: {key}", group[key], "0")
        for key in _CONSTANTS:
            if group[key] != first[key]:
                raise InputError("rates that differ by group", f"optimiser: {key}", group[key], str(first[key]))
    states: dict[Any, dict[str, Any]] = optimiser.state
    velocities = {
        parameter: state["momentum_buffer"].detach()
        for parameter, state in states.items()
        if state.get("momentum_buffer") is not None
    }
    return SgdState((float(first["lr"]), float(first["momentum"]), float(first["weight_decay"])), velocities)
