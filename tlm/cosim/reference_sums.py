"""Sums that a trace does not hold, by the reference: what enters the neuron, gradient and weight gradient units."""

from __future__ import annotations

import numpy as np

from rtl_models.reference.backward import consumer_sums
from rtl_models.reference.lut import LutTables
from rtl_models.reference.packing import bit_plane, forward_indices, forward_operands, update_indices, update_operands
from tlm.schedule.backward_items import layer_consumers
from tlm.schedule.geometry import BIT_PLANES, is_direct
from tlm.schedule.zero_tiles import layer_planes
from workloads.record import Floats
from workloads.trace_file import Trace


def forward_sums(trace: Trace, layer: int, samples: slice) -> Floats:
    """Return the forward sums [T, B, OH, OW, M] of a layer; of direct coding [1, ...], not yet times 2^-exponent."""
    shape, direct = trace.network.layers[layer], is_direct(trace.network, layer)
    timesteps, count = 1 if direct else trace.timesteps, len(trace.labels[samples])
    sums = np.zeros((timesteps, count, shape.out_height, shape.out_width, shape.out_channels), np.float32)
    if shape.identity is not None:
        sums[:] = trace.spikes(shape.identity, samples)
    psum = sums.reshape(-1, shape.out_channels)
    for part in trace.network.parts(layer):
        _add_forward_sums(trace, part, samples, psum)
    return sums


def _add_forward_sums(trace: Trace, part: int, samples: slice, psum: Floats) -> None:
    """Let sums [positions, M] run on through the tiles of one weight tensor."""
    shape, arithmetic = trace.network.layers[part], trace.arithmetic
    operands = forward_operands(shape, trace.weights(part), arithmetic.k, arithmetic.lanes)
    tables = LutTables(operands, arithmetic.lanes, arithmetic.value, arithmetic.sum)
    signed = is_direct(trace.network, part) and trace.network.input.signed
    for plane, spikes in enumerate(layer_planes(trace, part, samples)):
        indices = forward_indices(shape, spikes, arithmetic.k, arithmetic.lanes)
        tables.accumulate(indices, psum, double=plane > 0, subtract=signed and plane == 0)


def sums_from_above(trace: Trace, layer: int, samples: slice) -> Floats:
    """Return the backward sums [T, B, H, W, C] at the outputs of a layer; below the last layer [B, H, W, C]."""
    return consumer_sums(layer_consumers(trace, layer, samples, weights=True), trace.arithmetic.sum)


def direct_gradient_sums(trace: Trace, samples: slice) -> Floats:
    """Return a micro-batch's sums [M, R S C] of the first layer's weight gradient over bytes, before 2^-exponent."""
    shape, arithmetic = trace.network.layers[0], trace.arithmetic
    k, lanes = arithmetic.k, arithmetic.lanes
    operands = update_operands(shape, trace.gradient_sums(0, samples)[np.newaxis], k, lanes)
    tables = LutTables(operands, lanes, arithmetic.value, arithmetic.sum)
    partial = np.zeros((shape.elements, shape.out_channels), np.float32)
    pixels = trace.inputs(samples)
    for plane in range(BIT_PLANES):
        indices = update_indices(shape, bit_plane(pixels, plane), k, lanes)
        tables.accumulate(indices, partial, double=plane > 0, subtract=trace.network.input.signed and plane == 0)
    return np.ascontiguousarray(partial.T)
