"""The backward pass in machine arithmetic: gradients, last layer first, and weight gradients by micro-batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_models.reference.backward import Consumer, consumer_sums
from rtl_models.reference.gradient import gradient_unit, sum_over_time
from rtl_models.reference.lut import LutTables, scale_sums
from rtl_models.reference.packing import bit_plane, update_indices, update_operands
from rtl_models.reference.rounding import add_in_place, rounding
from rtl_models.reference.transpose import transpose_into
from workloads.forward import BIT_PLANES, Activity, Inputs, spikes_into
from workloads.network import DIRECT, Layer, Network
from workloads.record import Arithmetic, Flags, Floats


@dataclass(frozen=True)
class LayerUpdate:
    """A layer's dW [M, R, S, C], d16 [B, OH, OW, M] (direct coding only), and its tables' (non-finite, subnormal)."""

    weight_gradient: Floats
    gradient_sums: Floats | None
    tables: tuple[int, int]


def backward_pass(
    network: Network,
    arithmetic: Arithmetic,
    weights: tuple[Floats, ...],
    activity: dict[int, Activity],
    output_gradient: Floats,
) -> tuple[Floats, ...]:
    """Return every layer's gradients: du [T, B, OH, OW, M], for the last layer g16 [B, 1, 1, M] itself.

    A projection has those of the layer that it joins.
    """
    last = len(network.layers) - 1
    gradients: dict[int, Floats] = {last: output_gradient.reshape(output_gradient.shape[0], 1, 1, -1)}
    for number in reversed(network.hidden):
        gradients[number] = layer_gradients(network, arithmetic, weights, activity[number], gradients, number)
    return tuple(gradients[network.joined(number)] for number in range(last + 1))


def layer_gradients(
    network: Network,
    arithmetic: Arithmetic,
    weights: tuple[Floats, ...],
    state: Activity,
    gradients: dict[int, Floats],
    number: int,
) -> Floats:
    """Return du [T, B, OH, OW, M] of layer `number`, whose neurons were in `state`, from the `gradients` above it."""
    constants, reset = (network.constants.alpha, network.constants.beta), network.constants.reset
    sums = _sums_from_above(network, arithmetic, weights, gradients, number)
    timesteps = state.spikes.shape[0]
    rows = sums.reshape(1 if sums.ndim == 4 else timesteps, -1)
    potentials = state.potentials.reshape(timesteps, -1)
    spikes, masks = state.spikes.reshape(timesteps, -1), state.masks.reshape(timesteps, -1)
    du = gradient_unit(rows, potentials, spikes, masks, constants, arithmetic.value, arithmetic.sum, reset)
    return du.reshape(state.spikes.shape)


def _sums_from_above(
    network: Network, arithmetic: Arithmetic, weights: tuple[Floats, ...], gradients: dict[int, Floats], number: int
) -> Floats:
    """Return the backward sums [T, B, H, W, C] of a layer's outputs; below the last layer [B, H, W, C]."""
    layers = network.layers
    convolutions = [
        Consumer(layers[upper], gradients[network.joined(upper)], weights[upper]) for upper in network.consumers(number)
    ]
    added = [Consumer(layers[upper], gradients[upper], identity=True) for upper in network.identities(number)]
    return consumer_sums([*convolutions, *added], arithmetic.sum)


def weight_gradients(
    network: Network,
    arithmetic: Arithmetic,
    inputs: Inputs,
    activity: dict[int, Activity],
    gradients: tuple[Floats, ...],
) -> tuple[LayerUpdate, ...]:
    """Return every layer's weight gradient, summed over the micro-batches in ascending order."""
    updates = []
    for number, layer in enumerate(network.layers):
        du = gradients[number]
        spikes = spikes_into(network, number, inputs, activity)
        if number == 0 and network.input.coding == DIRECT:
            updates.append(_direct_update(network, arithmetic, spikes, du))
            continue
        if network.joined(number) == len(network.layers) - 1:
            du = np.broadcast_to(du, (network.timesteps, *du.shape))
        updates.append(_spike_update(layer, arithmetic, spikes, du))
    return tuple(updates)


def _spike_update(layer: Layer, arithmetic: Arithmetic, spikes: Flags, gradients: Floats) -> LayerUpdate:
    """Weight gradient of spikes [T, B, H, W, C] and gradients [T, B, OH, OW, M]."""
    total = np.zeros((layer.elements, layer.out_channels), np.float32)
    nonfinite = subnormal = 0
    for start in range(0, spikes.shape[1], arithmetic.micro_batch):
        samples = slice(start, start + arithmetic.micro_batch)
        tables = _update_tables(layer, arithmetic, gradients[:, samples])
        tables.accumulate(update_indices(layer, spikes[:, samples], arithmetic.k, arithmetic.lanes), total)
        nonfinite, subnormal = nonfinite + tables.nonfinite, subnormal + tables.subnormal
    return LayerUpdate(_by_row(layer, total), None, (nonfinite, subnormal))


def _direct_update(network: Network, arithmetic: Arithmetic, pixels: Flags, gradients: Floats) -> LayerUpdate:
    """Weight gradient of bytes [B, H, W, C] and gradients [T, B, OH, OW, M], bit plane by bit plane."""
    layer, sum_format = network.layers[0], rounding(arithmetic.sum)
    flat = gradients.reshape(gradients.shape[0], -1)
    d16 = sum_over_time(flat, arithmetic.value, arithmetic.sum).reshape(gradients.shape[1:])
    total = np.zeros((layer.elements, layer.out_channels), np.float32)
    nonfinite = subnormal = 0
    for start in range(0, pixels.shape[0], arithmetic.micro_batch):
        samples = slice(start, start + arithmetic.micro_batch)
        tables = _update_tables(layer, arithmetic, d16[np.newaxis, samples])
        partial = np.zeros_like(total)
        for plane in range(BIT_PLANES):
            indices = update_indices(layer, bit_plane(pixels[samples], plane), arithmetic.k, arithmetic.lanes)
            subtract = network.input.signed and plane == 0
            tables.accumulate(indices, partial, double=plane > 0, subtract=subtract)
        scale_sums(partial, np.float32(2.0**-network.input.exponent), sum_format)
        add_in_place(total.reshape(-1), partial.reshape(-1), sum_format)
        nonfinite, subnormal = nonfinite + tables.nonfinite, subnormal + tables.subnormal
    return LayerUpdate(_by_row(layer, total), d16, (nonfinite, subnormal))


def _update_tables(layer: Layer, arithmetic: Arithmetic, gradients: Floats) -> LutTables:
    operands = update_operands(layer, gradients, arithmetic.k, arithmetic.lanes)
    return LutTables(operands, arithmetic.lanes, arithmetic.value, arithmetic.sum)


def _by_row(layer: Layer, total: Floats) -> Floats:
    """Return [elements, M] as [M, R, S, C], NaN in its canonical form."""
    by_row = np.empty(layer.weights_shape, np.float32)
    transpose_into(total, by_row.reshape(layer.out_channels, -1))
    by_row[np.isnan(by_row)] = np.float32(np.nan)
    return by_row
