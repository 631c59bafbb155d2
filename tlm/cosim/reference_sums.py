"""Sums that a trace does not hold, by the reference: what enters the neuron, gradient and weight gradient units."""

from __future__ import annotations

import numpy as np

from rtl_models.reference.backward import backward_sums
from rtl_models.reference.lut import LutTables
from rtl_models.reference.packing import bit_plane, forward_indices, forward_operands, update_indices, update_operands
from tlm.schedule.geometry import BIT_PLANES, is_direct
from workloads.record import Floats
from workloads.trace_file import Trace


def forward_sums(trace: Trace, layer: int, samples: slice) -> Floats:
    """Return the forward sums [T, B, OH, OW, M] of a layer; of direct coding [1, ...], not yet times 2^-exponent."""
    shape, arithmetic = trace.network.layers[layer], trace.arithmetic
    k, lanes = arithmetic.k, arithmetic.lanes
    operands = forward_operands(shape, trace.weights(layer), k, lanes)
    tables = LutTables(operands, lanes, arithmetic.value, arithmetic.sum)
    direct = is_direct(trace.network, layer)
    spikes = trace.inputs(samples) if layer == 0 else trace.spikes(layer - 1, samples)
    timesteps, count = (1, len(spikes)) if direct else spikes.shape[:2]
    sums = np.zeros((timesteps, count, shape.out_height, shape.out_width, shape.out_channels), np.float32)
    psum = sums.reshape(-1, shape.out_channels)
    if direct:
        for plane in range(BIT_PLANES):
            indices = forward_indices(shape, bit_plane(spikes, plane), k, lanes)
            tables.accumulate(indices, psum, double=plane > 0, subtract=trace.network.input.signed and plane == 0)
    else:
        maps = spikes.view(np.uint8).reshape(timesteps, count, shape.in_height, shape.in_width, shape.in_channels)
        tables.accumulate(forward_indices(shape, maps, k, lanes), psum)
    return sums


def sums_from_above(trace: Trace, layer: int, samples: slice) -> Floats:
    """Return the backward sums [T, B, H, W, C] at the outputs of a layer; below the last layer [B, H, W, C]."""
    upper = trace.network.layers[layer + 1]
    return backward_sums(upper, trace.gradients(layer + 1, samples), trace.weights(layer + 1), trace.arithmetic.sum)


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
