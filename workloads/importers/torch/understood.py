"""Whether the captured tensors are those of the network that was made of the model: its rules, on one sample.

The last two timesteps of the first sample are computed again in binary64 from what the record holds: sums,
potentials, gradients of spikes, gradients. A reset, a regulariser, a detached tensor or a layout that was not
understood stands out there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.float_step import Reals, convolve, real_inputs, sums_from_above
from workloads.network import CONSTANT, INPUT
from workloads.record import StepRecord

_TOLERANCE = 1e-3  # of the largest magnitude: reduced precision of a GPU's convolutions (TF32: 10 bits) is no mistake


def check_understood(
    record: StepRecord, slopes: dict[int, NDArray[np.float32]], names: dict[int, str], loose: bool
) -> None:
    """Raise InputError, naming the module, where the machine's rules do not lead to the captured numbers.

    slopes: surrogate derivatives [T', 1, OH, OW, M] of the last T' timesteps of the first sample, by layer; names: of
    the modules; loose: the inputs are rounded, so that the first potentials are not compared.
    """
    steps = min(2, record.network.timesteps)
    for number in record.network.hidden:
        if number > 0 or not loose:
            _compare(*_potentials(record, number, steps), names[number], "potentials")
    gradients = {n: _window(record, n, steps) for n in record.network.main}
    weights = tuple(layer.weights for layer in record.layers)
    for number in record.network.hidden:
        sums = sums_from_above(record.network, weights, gradients, number, np.float64)
        expected = _gradients(record, number, sums, slopes[number].astype(np.float64))
        _compare(expected, gradients[number], names[number], "gradients")


def _compare(expected: Reals, got: Reals, name: str, what: str) -> None:
    difference, largest = float(np.abs(expected - got).max()), float(np.abs(got).max())
    if not difference <= _TOLERANCE * max(largest, float(np.abs(expected).max())):
        cause = {
            "potentials": "an operation between layers that was not seen?",
            "gradients": "a loss on hidden spikes or potentials, or a detached tensor?",
        }[what]
        told = f"differ by {difference:.3g} (largest {largest:.3g})"
        raise InputError(f"its {what} are not those of the machine's rules; {cause}", name, told, "1e-3 of the largest")


def _window(record: StepRecord, number: int, steps: int) -> Reals:
    """Return du of the first sample's last timesteps [T', 1, ...]; of the last layer, one for all, [1, 1, ...]."""
    du = record.layers[number].gradients
    window = du[np.newaxis, :1] if du.ndim == 4 else du[-steps:, :1]
    return window.astype(np.float64)


def _potentials(record: StepRecord, number: int, steps: int) -> tuple[Reals, Reals]:
    """Return the potentials that follow from the inputs of a layer, and the captured ones."""
    network, neuron = record.network, record.network.neuron
    sums: Reals = np.zeros(())
    for part in network.parts(number):
        layer = network.layers[part]
        sums = sums + convolve(layer, _maps(record, part, steps), record.layers[part].weights.astype(np.float64))
    if (identity := network.layers[number].identity) is not None:
        sums = sums + _spikes(record, identity, steps)
    found = record.layers[number]
    if found.potentials is None or found.spikes is None:
        raise ValueError("a layer without neurons has no potentials")
    u, s = (array[-steps - 1 :, :1].astype(np.float64) for array in (found.potentials, found.spikes))
    if len(u) == steps:  # the first timestep has none before it
        u, s = (np.concatenate([np.zeros_like(array[:1]), array]) for array in (u, s))
    before = neuron.alpha * u[:-1] - neuron.drop * s[:-1] if neuron.subtracts else neuron.alpha * u[:-1] * (1 - s[:-1])
    return sums + before, u[1:]


def _maps(record: StepRecord, part: int, steps: int) -> Reals:
    """Return what the weights of a layer meet at the last timesteps of the first sample, [T' or 1, 1, H, W, C]."""
    layer, source = record.network.layers[part], record.network.layers[part].source
    if source == CONSTANT:
        return np.ones((1, 1, layer.in_height, layer.in_width, 1))
    if source == INPUT:
        direct = record.inputs.ndim == 4
        return real_inputs(record.network, record.inputs[:1] if direct else record.inputs[-steps:, :1])
    return _spikes(record, source, steps)


def _spikes(record: StepRecord, source: int, steps: int) -> Reals:
    """Return what a layer fired at the last timesteps of the first sample, [T', 1, H, W, C]."""
    spikes = record.layers[source].spikes
    if spikes is None:
        raise ValueError("a source without neurons has no spikes")
    return spikes[-steps:, :1].astype(np.float64)


def _gradients(record: StepRecord, number: int, sums: Reals, slopes: Reals) -> Reals:
    """Return du of the last timesteps that follows from backward sums [T' or 1, 1, ...]."""
    found, neuron = record.layers[number], record.network.neuron
    if found.potentials is None or found.spikes is None:
        raise ValueError("a layer without neurons has no potentials")
    u, s = (array[-len(slopes) :, :1].astype(np.float64) for array in (found.potentials, found.spikes))
    du: Reals = np.zeros_like(slopes)
    following = np.zeros_like(slopes[0])
    for t in range(len(slopes) - 1, -1, -1):
        ds = sums[min(t, len(sums) - 1)]
        if neuron.reset_gradient:
            ds = ds - (neuron.drop if neuron.subtracts else neuron.alpha * u[t]) * following
        du[t] = slopes[t] * ds + neuron.alpha * (1.0 if neuron.subtracts else 1 - s[t]) * following
        following = du[t]
    return du
