"""Which tiles of a job have nothing but zero indices, from a trace's real spikes: what the skip switch leaves out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.reference.packing import bit_plane, forward_indices, update_indices
from tlm.schedule.geometry import BIT_PLANES, MicroBatch, is_direct
from tlm.schedule.lut_jobs import ZeroTiles
from workloads.record import Arithmetic, Flags
from workloads.trace_file import Trace


def forward_zero_tiles(trace: Trace, layer: int, batch: MicroBatch, arithmetic: Arithmetic) -> ZeroTiles:
    """Return the map of all-zero tiles of the forward engine for one layer and micro-batch."""
    shape = trace.network.layers[layer]
    planes = [forward_indices(shape, s, arithmetic.k, arithmetic.lanes) for s in layer_planes(trace, layer, batch)]
    return _zero_tiles(planes, arithmetic.lanes)


def update_zero_tiles(trace: Trace, layer: int, batch: MicroBatch, arithmetic: Arithmetic) -> ZeroTiles:
    """Return the map of all-zero tiles of the weight update engine for one layer and micro-batch."""
    shape = trace.network.layers[layer]
    planes = [update_indices(shape, s, arithmetic.k, arithmetic.lanes) for s in layer_planes(trace, layer, batch)]
    return _zero_tiles(planes, arithmetic.lanes)


def layer_planes(trace: Trace, layer: int, batch: MicroBatch) -> list[Flags]:
    """Return a layer's input as spikes [T, B, H, W, C]: one entry, or eight bit planes [1, B, H, W, C] of bytes."""
    if is_direct(trace.network, layer):
        pixels = trace.inputs(batch.samples)
        return [bit_plane(pixels, plane) for plane in range(BIT_PLANES)]
    if layer == 0:
        return [trace.inputs(batch.samples).view(np.uint8)]
    return [trace.spikes(layer - 1, batch.samples)]


def _zero_tiles(planes: list[NDArray[np.uint8]], lanes: int) -> ZeroTiles:
    """Reduce indices [positions, groups] of each plane to one flag per position and tile, once."""
    any_spike = np.stack([p.reshape(len(p), -1, lanes).any(axis=-1) for p in planes], axis=1)

    def zero(first: int, count: int) -> NDArray[np.bool_]:
        return np.asarray(~any_spike[first : first + count].any(axis=0))

    return zero
