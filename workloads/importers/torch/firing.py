"""What the neurons of one layer did in the observed step: potentials, spikes, masks, gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rtl_models.errors import InputError
from workloads.importers.chain import SUBTRACT
from workloads.importers.torch.structure import Chain
from workloads.importers.torch.surrogate import Support, derivative, support

_TIE = 1e-5  # of the threshold: nearer to it another device's rounding may decide otherwise than ours


@dataclass(frozen=True)
class Firing:
    """Tensors [T, B, ...] of one layer of neurons, in the framework's order of axes and the machine's units.

    The machine's potential is the framework's x `factor`. `slopes` are surrogate derivatives, `farthest` the largest
    distance between a potential and the threshold, `dropped` the share of gradient energy outside the masks: of the
    sum of squares of (surrogate derivative x gradient of the spike).
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
    threshold = rule.constants.threshold
    factor = chain.observer.rules[first].constants.threshold / threshold if name != first else 1.0
    x, spikes = chain.joined(name, "input"), chain.joined(name, "output")
    potentials = torch.empty_like(x)
    for t in range(chain.timesteps):
        before = (potentials[t - 1], spikes[t - 1]) if t else (None, None)
        potentials[t] = rule.potential(x[t], *before)
    distance = potentials - threshold
    _check_spikes(name, spikes, distance, threshold, rule.constants.fires_at_threshold)
    found = support(rule.surrogate, mask_threshold, name)
    slopes = derivative(rule.surrogate, distance, name)
    masks = found.mask(slopes)
    gradients = chain.joined(name, "input_gradient")
    if not bool(torch.isfinite(gradients.sum())):
        raise InputError("a gradient is not finite", name, allowed="a step with finite gradients")
    if rule.constants.gain * factor != 1.0:
        gradients = gradients / (rule.constants.gain * factor)
    dropped = 0.0
    if not found.exact:
        own = gradients.clone()
        own[:-1] -= kept(rule.constants.reset, rule.constants.alpha, spikes[:-1]) * gradients[1:]
        energy = own.double().square_()
        dropped = float(energy[~masks].sum() / energy.sum().clamp_min(torch.finfo(torch.float64).tiny))
    return Firing(
        potentials * factor if factor != 1.0 else potentials,
        spikes,
        masks,
        gradients,
        slopes[-2:, :1] / factor,
        found,
        factor,
        float(distance.abs().max()),
        dropped,
    )


def kept(reset: str, alpha: float, spikes: Tensor) -> Tensor | float:
    """Return how much of du[t+1] reaches du[t] through the potential that is kept."""
    return alpha if reset == SUBTRACT else alpha * (1 - spikes)


def _check_spikes(name: str, spikes: Tensor, distance: Tensor, threshold: float, at_threshold: bool) -> None:
    fires = distance >= 0 if at_threshold else distance > 0
    wrong = spikes != fires.to(spikes.dtype)
    if bool(wrong.any()):
        wrong &= (distance.abs() > _TIE * abs(threshold)) | ((spikes != 0) & (spikes != 1))
        if bool(wrong.any()):
            got = f"{int(wrong.sum())} of {wrong.numel()}"
            raise InputError("its spikes are not those that follow from its inputs and constants", name, got, "all")
