"""What the neurons of one layer did in the observed step: potentials, spikes, masks, gradients."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf

import torch
from torch import Tensor

from rtl_models.errors import InputError
from workloads.importers.chain import SUBTRACT, Neurons
from workloads.importers.torch.structure import Chain
from workloads.importers.torch.surrogate import Support, derivative, support

_TIE = 1e-5  # of the threshold: nearer to it another device's rounding may decide otherwise than ours


@dataclass(frozen=True)
class Firing:
    """Tensors [T, B, ...] of one layer of neurons, in the framework's order of axes and the machine's units.

    The machine's potential is the framework's x `factor`. `slopes` are surrogate derivatives; `farthest` is the largest
    distance between a potential and the threshold where masks have no end, else 0; `dropped` is the share of gradient
    energy outside the masks: of the sum of squares of (surrogate derivative x gradient of the spike).
    """

    potentials: Tensor
    spikes: Tensor
    masks: Tensor
    gradients: Tensor
    slopes: Tensor
    support: Support
    factor: float
    farthest: float
    dropped: float


def firing(chain: Chain, name: str, first: str, mask_threshold: float) -> Firing:
    """Return what the neurons `name` did, in units in which their threshold is that of the neurons `first`.

    Raises InputError if their spikes are not those of the neuron as it was understood, or a gradient is not finite.
    """
    rule = chain.observer.rules[name]
    constants = rule.constants
    factor = chain.observer.rules[first].constants.threshold / constants.threshold if name != first else 1.0
    found = support(rule.surrogate, mask_threshold, name)
    collected = _Collected(chain, name, found)
    for t in range(chain.timesteps):  # a timestep after the other: they fit a cache, the whole does not
        collected.add(t)
    gradients = collected.gradients
    if not bool(torch.isfinite(gradients.sum())):
        raise InputError("a gradient is not finite", name, allowed="a step with finite gradients")
    dropped = 0.0 if found.exact else _energy_outside(constants, collected)
    return Firing(
        collected.potentials if factor == 1.0 else collected.potentials * factor,
        collected.spikes,
        collected.masks,
        gradients if constants.gain * factor == 1.0 else gradients / (constants.gain * factor),
        torch.stack(collected.slopes) / factor,
        found,
        factor,
        collected.farthest,
        dropped,
    )


class _Collected:
    """Tensors [T, B, ...] of a layer, filled one timestep after the other; gradients are those of the inputs."""

    def __init__(self, chain: Chain, name: str, found: Support) -> None:
        self.name, self._chain, self._found = name, chain, found
        self._rule = chain.observer.rules[name]
        x = chain.at(name, "input", 0)
        self.potentials = x.new_empty((chain.timesteps, *x.shape))
        self.gradients = torch.empty_like(self.potentials)
        self.spikes = torch.empty_like(self.potentials, dtype=torch.uint8)
        self.masks = torch.empty_like(self.spikes)
        self.slopes: list[Tensor] = []  # of the last two timesteps' first sample
        self.farthest = 0.0
        self._before: tuple[Tensor | None, Tensor | None] = (None, None)

    def add(self, t: int) -> None:
        """Add a timestep; raises InputError where its spikes do not follow from its inputs."""
        constants = self._rule.constants
        spikes = self._chain.at(self.name, "output", t)
        potentials = self._rule.potential(self._chain.at(self.name, "input", t), *self._before)
        self._before = (potentials, spikes)
        distance = potentials - constants.threshold
        _check_spikes(self.name, spikes, distance, constants)
        slopes = derivative(self._rule.surrogate, distance, self.name)
        self.potentials[t], self.spikes[t], self.masks[t] = potentials, spikes, self._found.mask(slopes)
        self.gradients[t] = self._chain.at(self.name, "input_gradient", t)
        self.slopes = [*self.slopes[-1:], slopes[:1]]
        if isinf(self._found.reach):
            self.farthest = max(self.farthest, float(distance.abs().max()))


def _energy_outside(constants: Neurons, collected: _Collected) -> float:
    """Return the share of the sum of squares of (surrogate derivative x gradient of the spike) outside the masks."""
    du, outside, whole = collected.gradients, 0.0, 0.0
    for t in range(len(du)):
        own = du[t]
        if t + 1 < len(du):  # without what comes through the potential that is kept
            kept = (
                constants.alpha if constants.reset == SUBTRACT else constants.alpha * (1 - collected.spikes[t].float())
            )
            own = own - kept * du[t + 1]
        energy = own.square()
        whole += float(energy.sum())
        outside += float(energy.masked_fill_(collected.masks[t].bool(), 0).sum())
    return outside / whole if whole else 0.0


def _check_spikes(name: str, spikes: Tensor, distance: Tensor, constants: Neurons) -> None:
    fires = distance >= 0 if constants.fires_at_threshold else distance > 0
    expected = fires.to(spikes.dtype)
    if not torch.equal(spikes, expected):
        wrong = spikes != expected
        wrong &= (distance.abs() > _TIE * abs(constants.threshold)) | ((spikes != 0) & (spikes != 1))
        if bool(wrong.any()):
            got = f"{int(wrong.sum())} of {wrong.numel()}"
            raise InputError("its spikes are not those that follow from its inputs and constants", name, got, "all")
