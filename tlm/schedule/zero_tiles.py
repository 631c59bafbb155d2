"""Which tiles of a job have nothing but zero indices, from a trace's real spikes: what the skip switch leaves out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtl_models.reference.packing import bit_plane, forward_indices, update_indices
from tlm.schedule.geometry import BIT_PLANES, MicroBatch, is_direct
from tlm.schedule.lut_jobs import ZeroTiles
from workloads.network import CONSTANT, INPUT
from workloads.record import Arithmetic, Flags
from workloads.trace_file import Trace


def forward_zero_tiles(trace: Trace, layer: int, batch: MicroBatch, arithmetic: Arithmetic) -> ZeroTiles:
    """Return the map of all-zero tiles of the forward engine for one layer and micro-batch."""
    return _zero_tiles(layer_indices(trace, layer, batch.samples, arithmetic), arithmetic.lanes)


def layer_indices(
    trace: Trace, layer: int, samples: slice, arithmetic: Arithmetic, update: bool = False
) -> Iterator[NDArray[np.uint8]]:
    """Yield the indices [positions, groups] of each bit plane of a LUT engine, the forward or with `update` the other.

    The forward engine looks a projection's groups up before those of the layer that it joins.
    """
    parts = (layer,) if update else trace.network.parts(layer)
    for planes in zip(*(_part_indices(trace, part, samples, arithmetic, update) for part in parts), strict=True):
        yield np.concatenate(planes, axis=1) if len(planes) > 1 else planes[0]


def _part_indices(
    trace: Trace, part: int, samples: slice, arithmetic: Arithmetic, update: bool
) -> Iterator[NDArray[np.uint8]]:
    pack = update_indices if update else forward_indices
    for spikes in layer_planes(trace, part, samples):
        yield pack(trace.network.layers[part], spikes, arithmetic.k, arithmetic.lanes)


def update_zero_tiles(trace: Trace, layer: int, batch: MicroBatch, arithmetic: Arithmetic) -> ZeroTiles:
    """Return the map of all-zero tiles of the weight update engine for one layer and micro-batch."""
    return _zero_tiles(layer_indices(trace, layer, batch.samples, arithmetic, update=True), arithmetic.lanes)


def layer_planes(trace: Trace, layer: int, samples: slice) -> list[Flags]:
    """Return a layer's input as spikes [T, B, H, W, C]: one entry, or eight bit planes [1, B, H, W, C] of bytes."""
    if is_direct(trace.network, layer):
        pixels = trace.inputs(samples)
        return [bit_plane(pixels, plane) for plane in range(BIT_PLANES)]
    shape, source = trace.network.layers[layer], trace.network.layers[layer].source
    if source == CONSTANT:
        leading = (trace.timesteps, len(trace.labels[samples]))
        return [np.ones((*leading, shape.in_height, shape.in_width, 1), np.uint8)]
    return [trace.inputs(samples).view(np.uint8) if source == INPUT else trace.spikes(source, samples)]


def _zero_tiles(planes: Iterator[NDArray[np.uint8]], lanes: int) -> ZeroTiles:
    """Reduce indices [positions, groups] of each plane to one flag per position and tile, once."""
    any_spike = np.stack([p.reshape(len(p), -1, lanes).any(axis=-1) for p in planes], axis=1)

    def zero(first: int, count: int) -> NDArray[np.bool_]:
        return np.asarray(~any_spike[first : first + count].any(axis=0))

    return zero
