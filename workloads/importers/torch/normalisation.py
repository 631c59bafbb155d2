"""Batch normalisation by running statistics: a scale and a shift of sums, which weights and biases take in.

A module in training mode normalises by the statistics of its batch, and gradients run through them, from every sample
and position to every other. The machine has no pass for that; by running statistics the gradient of a sum is the scale
times that of what is made of it, which is what the weights of the machine's layer give.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from rtl_models.errors import InputError
from workloads.importers.stages import Numbers


def is_normalisation(module: nn.Module) -> bool:
    """Whether `module` is batch normalisation of PyTorch or SpikingJelly, of vectors or maps."""
    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) or type(module).__name__ in (
        "ThresholdDependentBatchNorm1d",
        "ThresholdDependentBatchNorm2d",
    )


def check_normalisation(name: str, module: nn.Module) -> None:
    """Raise InputError where a normalisation takes its statistics from the batch."""
    if module.training or module.running_mean is None:
        kind = f"{type(module).__name__}, {'training mode' if module.training else 'no running statistics'}"
        what = "normalised by the batch's own statistics, through which gradients run; the machine has no pass for that"
        raise InputError(what, name, kind, "running statistics: eval() of this module while a step is captured")


def scale_and_shift(module: Any) -> tuple[Numbers, Numbers]:
    """Return what a normalisation multiplies sums by and adds to them, by channel, in binary64."""
    factor = (module.running_var.double() + module.eps).rsqrt()
    if module.affine:
        factor = factor * module.weight.detach()
    shift = -factor * module.running_mean
    if module.affine:
        shift = shift + module.bias.detach()
    return np.asarray(factor.cpu()), np.asarray(shift.cpu())
