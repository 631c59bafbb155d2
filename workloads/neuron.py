"""The leaky integrate-and-fire neuron and its reset, as network files state them and as the machine has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from rtl_models.reset import TO_ZERO, Reset
from workloads.keys import real, table

ZERO = "zero"
SUBTRACT = "subtract"
_CONSTANTS = ("alpha", "threshold", "interval", "beta")
_RESET = {"reset": ZERO, "reset_by": None, "reset_gradient": True}  # the keys of the reset and what they are by default


@dataclass(frozen=True)
class NeuronParameters:
    """Decimal constants of the leaky integrate-and-fire neuron, and its reset, as a network file states them."""

    alpha: float = 0.25
    threshold: float = 0.25
    interval: float = 0.5
    beta: float = 1.0
    reset: str = ZERO
    reset_by: float | None = None  # what subtract takes off a potential that fired, before it leaks; None: threshold
    reset_gradient: bool = True  # whether the gradient runs through the reset

    @property
    def drop(self) -> float:
        """What the next timestep's potential lacks where the neuron fired, alpha x reset_by; 0 where it is not used."""
        return self.alpha * (self.threshold if self.reset_by is None else self.reset_by) if self.subtracts else 0.0

    @property
    def subtracts(self) -> bool:
        """Whether the reset is a subtraction."""
        return self.reset == SUBTRACT

    def to_dict(self) -> dict[str, Any]:
        """Return what a network file says of the neuron; a reset by default is not told."""
        told = {name: getattr(self, name) for name in _CONSTANTS}
        return told | {name: value for name in _RESET if (value := getattr(self, name)) != _RESET[name]}


@dataclass(frozen=True)
class NeuronConstants:
    """The machine's neuron constants, computed in binary64 and rounded once to binary32, and its reset."""

    alpha: np.float32
    beta: np.float32
    threshold: np.float32
    low: np.float32
    high: np.float32
    reset: Reset = TO_ZERO

    @classmethod
    def of(cls, neuron: NeuronParameters) -> NeuronConstants:
        """Round the constants of a network file (docs/contract.md, "Neuron")."""
        return cls(
            alpha=np.float32(neuron.alpha),
            beta=np.float32(neuron.beta),
            threshold=np.float32(neuron.threshold),
            low=np.float32(neuron.threshold - neuron.interval),
            high=np.float32(neuron.threshold + neuron.interval),
            reset=Reset(neuron.subtracts, np.float32(neuron.drop), detached=not neuron.reset_gradient),
        )


def parse_neuron(raw: object, where: str) -> NeuronParameters:
    """Check the neuron of a network file; raises InputError naming the key."""
    keys = table(raw, where, {*_CONSTANTS, *_RESET})
    numbers = {key: real(keys[key], f"{where}: {key}") for key in keys if key not in ("reset", "reset_gradient")}
    reset, through = keys.get("reset", ZERO), keys.get("reset_gradient", True)
    if reset not in (ZERO, SUBTRACT):
        raise InputError("unknown reset", f"{where}: reset", reset, f"{ZERO}, {SUBTRACT}")
    if not isinstance(through, bool):
        raise InputError("wrong value", f"{where}: reset_gradient", through, "true, false")
    neuron = NeuronParameters(**numbers, reset=reset, reset_gradient=through)
    if not 0.0 <= neuron.alpha <= 1.0:
        raise InputError("wrong value", f"{where}: alpha", neuron.alpha, "0..1")
    if neuron.interval <= 0.0:
        raise InputError("wrong value", f"{where}: interval", neuron.interval, "a number > 0")
    if "reset_by" in keys and not neuron.subtracts:
        raise InputError("reset_by belongs to reset subtract", f"{where}: reset", reset, SUBTRACT)
    by = neuron.threshold if neuron.reset_by is None else neuron.reset_by
    if neuron.subtracts and by <= 0.0:
        what = "wrong value" if "reset_by" in keys else "the threshold, by which subtract resets, must be above 0"
        raise InputError(what, f"{where}: reset_by", by, "a number > 0")
    return neuron
