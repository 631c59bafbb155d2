"""How sparse a training step is, layer by layer: counted on a trace in slices of samples, so memory stays small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workloads.network import CONSTANT, DIRECT, INPUT, Layer, Network
from workloads.record import Arithmetic, Flags, Floats

_SLICE_BYTES = 1 << 24  # unpacked bytes of one tensor that are held at once
PLANES = 8  # bit planes of a byte


@dataclass(frozen=True)
class LayerSparsity:
    """Shares, 0..1, of one layer in one step; None where the layer has no such tensor (the last has no neuron).

    `zero_index_groups` is the share of the forward engine's look-ups whose k input bits are all 0, over positions of
    the convolution, bit planes (direct coding, once instead of at every timestep) and the groups of the receptive
    field, taps outside the plane included, the padding to whole tiles of lanes not.
    """

    firing_rate: float | None
    active_masks: float | None
    nonzero_gradients: float
    zero_index_groups: float


class StepTensors(Protocol):
    """The part of a trace that statistics need."""

    network: Network
    arithmetic: Arithmetic
    batch: int

    def inputs(self, samples: slice) -> NDArray[np.uint8] | NDArray[np.int8]:
        """Bytes or spikes that enter the first layer."""

    def spikes(self, layer: int, samples: slice) -> Flags:
        """Output spikes."""

    def masks(self, layer: int, samples: slice) -> Flags:
        """Firing masks."""

    def gradients(self, layer: int, samples: slice) -> Floats:
        """Gradients du or g16."""


def layer_sparsity(trace: StepTensors, index: int) -> LayerSparsity:
    """Count the sparsity of layer `index` (from 0) of `trace`."""
    network = trace.network
    layer = network.layers[index]
    fired = active = nonzero = gradients = zero_groups = groups = 0
    for samples in samples_at_once(trace, index):
        if layer.spiking:
            fired += int(trace.spikes(index, samples).sum(dtype=np.int64))
            active += int(trace.masks(index, samples).sum(dtype=np.int64))
        values = trace.gradients(index, samples)
        nonzero += int(np.count_nonzero(values))
        gradients += values.size
        bits = _input_bits(trace, index, samples)
        zeros, total = count_zero_groups(bits, layer, trace.arithmetic.k)
        zero_groups += zeros
        groups += total
    outputs = network.timesteps * trace.batch * layer.out_positions * layer.out_channels
    return LayerSparsity(
        firing_rate=fired / outputs if layer.spiking else None,
        active_masks=active / outputs if layer.spiking else None,
        nonzero_gradients=nonzero / gradients,
        zero_index_groups=zero_groups / groups,
    )


def samples_at_once(trace: StepTensors, index: int) -> Iterator[slice]:
    """Yield slices that cut a batch into so many samples as are unpacked at once for layer `index` (from 0)."""
    layer = trace.network.layers[index]
    per_sample = trace.network.timesteps * max(
        layer.out_positions * layer.out_channels, layer.in_height * layer.in_width * layer.in_channels * PLANES
    )
    step = max(1, _SLICE_BYTES // per_sample)
    for start in range(0, trace.batch, step):
        yield slice(start, min(start + step, trace.batch))


def count_zero_groups(bits: Flags, layer: Layer, k: int) -> tuple[int, int]:
    """Count the groups of k channels that are all 0 over every receptive field: (zero groups, all groups).

    `bits` is [planes, H, W, C], the planes being timesteps and samples or bit planes and samples.
    """
    planes, height, width, channels = bits.shape
    padded = np.zeros((planes, height + 2 * layer.padding, width + 2 * layer.padding, channels), np.bool_)
    padded[:, layer.padding : layer.padding + height, layer.padding : layer.padding + width] = bits
    filled = np.add.reduceat(padded, np.arange(0, channels, k), axis=-1, dtype=np.int64) > 0
    used = 0
    for r in range(layer.kernel_height):
        for s in range(layer.kernel_width):
            rows = slice(r, r + (layer.conv_height - 1) * layer.stride + 1, layer.stride)
            columns = slice(s, s + (layer.conv_width - 1) * layer.stride + 1, layer.stride)
            used += int(np.count_nonzero(filled[:, rows, columns]))
    total = planes * layer.conv_positions * layer.groups(k)
    return total - used, total


def _input_bits(trace: StepTensors, index: int, samples: slice) -> Flags:
    """Input bits of a layer as [planes, H, W, C]."""
    layer = trace.network.layers[index]
    shape = (-1, layer.in_height, layer.in_width, layer.in_channels)
    if layer.source == CONSTANT:
        count = trace.network.timesteps * len(range(*samples.indices(trace.batch)))
        return np.ones((count, *shape[1:]), np.uint8)
    if layer.source != INPUT:
        return trace.spikes(layer.source, samples).reshape(shape)
    inputs = trace.inputs(samples)
    if trace.network.input.coding != DIRECT:
        return inputs.view(np.uint8).reshape(shape)
    planes = [(inputs.view(np.uint8) >> np.uint8(plane)) & np.uint8(1) for plane in reversed(range(PLANES))]
    return np.stack(planes).reshape(shape)
