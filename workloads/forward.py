"""The forward pass in machine arithmetic: layer by layer over all samples, which the contract leaves independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.reference.lut import LutTables, scale_sums
from rtl_models.reference.neuron import neuron
from rtl_models.reference.packing import bit_plane, forward_indices, forward_operands
from rtl_models.reference.rounding import rounding
from workloads.network import CONSTANT, DIRECT, INPUT, Layer, Network
from workloads.record import Arithmetic, Flags, Floats

Inputs = NDArray[np.uint8] | NDArray[np.int8]
_INDEX_BYTES = 1 << 26  # table indices made at a time
BIT_PLANES = 8


@dataclass(frozen=True)
class Activity:
    """What one layer's neurons did: potentials u, spikes s and masks f, each [T, B, OH, OW, M]."""

    potentials: Floats
    spikes: Flags
    masks: Flags


@dataclass(frozen=True)
class ForwardResult:
    """Activity by spiking layer, logits [B, classes], and the tables' (non-finite, subnormal) by layer."""

    activity: dict[int, Activity]
    logits: NDArray[np.float64]
    tables: tuple[tuple[int, int], ...]


def check_inputs(network: Network, inputs: Inputs) -> None:
    """Raise InputError unless `inputs` are what the network's coding asks for."""
    source = network.input
    shape: tuple[int, ...] = (source.height, source.width, source.channels)
    where = f"{network.name}: inputs"
    wanted = np.dtype(np.int8) if source.coding == DIRECT and source.signed else np.dtype(np.uint8)
    if inputs.dtype != wanted:
        raise InputError("wrong type of elements", where, str(inputs.dtype), str(wanted))
    if source.coding == DIRECT:
        good = inputs.ndim == 4 and inputs.shape[1:] == shape and inputs.shape[0] > 0
        allowed = f"[B, {', '.join(map(str, shape))}]"
    else:
        good = inputs.ndim == 5 and inputs.shape[0] == network.timesteps and inputs.shape[2:] == shape
        good = good and inputs.shape[1] > 0
        allowed = f"[{network.timesteps}, B, {', '.join(map(str, shape))}]"
    if not good:
        raise InputError("wrong shape", where, inputs.shape, allowed)
    if source.coding != DIRECT and inputs.max() > 1:
        raise InputError("not a spike", where, int(inputs.max()), "0, 1")


def forward_pass(
    network: Network, arithmetic: Arithmetic, weights: tuple[Floats, ...], inputs: Inputs
) -> ForwardResult:
    """Run all timesteps of all samples through the network; `weights` are [M, R, S, C] in the value format."""
    check_inputs(network, inputs)
    activity: dict[int, Activity] = {}
    counts: dict[int, tuple[int, int]] = {}
    for number in network.hidden:
        activity[number] = layer_activity(network, arithmetic, weights, number, inputs, activity, counts)
    sums = _layer_sums(network, arithmetic, weights, network.main[-1], inputs, activity, counts)
    tables_counted = tuple(counts[number] for number in range(len(network.layers)))
    return ForwardResult(activity, _mean_over_time(sums), tables_counted)


def layer_activity(
    network: Network,
    arithmetic: Arithmetic,
    weights: Sequence[Floats],
    number: int,
    inputs: Inputs,
    activity: dict[int, Activity],
    counts: dict[int, tuple[int, int]],
) -> Activity:
    """Return what the neurons of layer `number` do, from the `activity` of the layers before it.

    `counts` receives the (non-finite, subnormal) entries of the tables by layer.
    """
    constants = network.constants
    lif = (constants.alpha, constants.threshold, constants.low, constants.high)
    sums = _layer_sums(network, arithmetic, weights, number, inputs, activity, counts)
    rows, formats = sums.reshape(sums.shape[0], -1), (arithmetic.value, arithmetic.sum)
    states = neuron(rows, network.timesteps, lif, *formats, constants.reset)
    shape = (network.timesteps, *sums.shape[1:])
    return Activity(*(state.reshape(shape) for state in states))


def part_sums(
    network: Network, arithmetic: Arithmetic, weights: Floats, part: int, inputs: Inputs, activity: dict[int, Activity]
) -> Floats:
    """Return the sums [T, B, OH, OW, M] of one weight tensor alone, from +0; [1, ...] of a first layer with bytes."""
    tables = _tables(network, arithmetic, weights, part)
    if part == 0 and network.input.coding == DIRECT:
        return _direct_sums(network, arithmetic, tables, inputs.view(np.uint8))
    sums = _zeros(network, part, inputs, activity)
    _add_spike_sums(network.layers[part], arithmetic, tables, spikes_into(network, part, inputs, activity), sums)
    return sums


def spikes_into(network: Network, number: int, inputs: Inputs, activity: dict[int, Activity]) -> Flags:
    """Return what a layer's weights meet: spikes [T, B, H, W, C], or the bytes [B, H, W, C] of direct coding."""
    layer, source = network.layers[number], network.layers[number].source
    if source == CONSTANT:
        leading = spikes_into(network, network.joined(number), inputs, activity).shape[:2]
        return np.ones((*leading, layer.in_height, layer.in_width, 1), np.uint8)
    return inputs.view(np.uint8) if source == INPUT else activity[source].spikes


def forward_logits(
    network: Network, arithmetic: Arithmetic, weights: tuple[Floats, ...], inputs: Inputs
) -> NDArray[np.float64]:
    """Return the logits [B, classes] of `inputs`: the last layer's x averaged over time in binary64."""
    return forward_pass(network, arithmetic, weights, inputs).logits


def _mean_over_time(sums: Floats) -> NDArray[np.float64]:
    """Return x [T, B, 1, 1, M] averaged over t, added in ascending t in binary64."""
    total = np.zeros((sums.shape[1], sums.shape[-1]), np.float64)
    with np.errstate(invalid="ignore"):
        for row in sums.reshape(sums.shape[0], *total.shape):
            total += row
    return np.asarray(total / sums.shape[0], np.float64)


def _tables(network: Network, arithmetic: Arithmetic, weights: Floats, number: int) -> LutTables:
    operands = forward_operands(network.layers[number], weights, arithmetic.k, arithmetic.lanes)
    return LutTables(operands, arithmetic.lanes, arithmetic.value, arithmetic.sum)


def _layer_sums(
    network: Network,
    arithmetic: Arithmetic,
    weights: Sequence[Floats],
    number: int,
    inputs: Inputs,
    activity: dict[int, Activity],
    counts: dict[int, tuple[int, int]],
) -> Floats:
    """Return x [T, B, OH, OW, M] of a layer, [1, ...] of a first layer with bytes; count its tables' entries."""
    if number == 0 and network.input.coding == DIRECT:
        tables = _tables(network, arithmetic, weights[0], 0)
        sums = _direct_sums(network, arithmetic, tables, inputs.view(np.uint8))
        counts[0] = (tables.nonfinite, tables.subnormal)
        return sums
    sums = _start(network, number, inputs, activity)
    for part in network.parts(number):  # tiles of a bias and a projection, then the layer's own
        tables = _tables(network, arithmetic, weights[part], part)
        spikes = spikes_into(network, part, inputs, activity)
        _add_spike_sums(network.layers[part], arithmetic, tables, spikes, sums)
        counts[part] = (tables.nonfinite, tables.subnormal)
    return sums


def _start(network: Network, number: int, inputs: Inputs, activity: dict[int, Activity]) -> Floats:
    """Return what the sums [T, B, OH, OW, M] of a layer start from: its identity shortcut's spikes, or zeros."""
    identity = network.layers[number].identity
    if identity is not None:
        return activity[identity].spikes.astype(np.float32)
    return _zeros(network, number, inputs, activity)


def _zeros(network: Network, number: int, inputs: Inputs, activity: dict[int, Activity]) -> Floats:
    layer = network.layers[number]
    leading = spikes_into(network, number, inputs, activity).shape[:2]
    return np.zeros((*leading, layer.out_height, layer.out_width, layer.out_channels), np.float32)


def _add_spike_sums(layer: Layer, arithmetic: Arithmetic, tables: LutTables, spikes: Flags, sums: Floats) -> None:
    """Let sums [T, B, OH, OW, M] run on through the tables that spikes [T, B, H, W, C] select."""
    timesteps, samples = spikes.shape[:2]
    per_timestep = samples * layer.conv_positions * max(layer.groups(arithmetic.k), arithmetic.lanes)
    step = max(1, _INDEX_BYTES // per_timestep)
    for start in range(0, timesteps, step):
        block = slice(start, start + step)
        indices = forward_indices(layer, spikes[block], arithmetic.k, arithmetic.lanes)
        tables.accumulate(indices, sums[block].reshape(-1, layer.out_channels))


def _direct_sums(network: Network, arithmetic: Arithmetic, tables: LutTables, pixels: Flags) -> Floats:
    """Return x [1, B, OH, OW, M] of bytes [B, H, W, C]: eight bit planes, most significant first."""
    layer = network.layers[0]
    sums = np.zeros((1, pixels.shape[0], layer.out_height, layer.out_width, layer.out_channels), np.float32)
    psum = sums.reshape(-1, layer.out_channels)
    for plane in range(BIT_PLANES):
        indices = forward_indices(layer, bit_plane(pixels, plane), arithmetic.k, arithmetic.lanes)
        subtract = network.input.signed and plane == 0
        tables.accumulate(indices, psum, double=plane > 0, subtract=subtract)
    scale_sums(sums, np.float32(2.0**-network.input.exponent), rounding(arithmetic.sum))
    return sums
