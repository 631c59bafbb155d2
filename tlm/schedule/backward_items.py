"""The backward engine's work items, counted from a trace's real gradients and firing masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from rtl_models.reference.backward import Consumer
from rtl_models.reference.shape import LayerShape
from tlm.config import BackwardEngineConfig, Config
from workloads.record import Flags, Floats
from workloads.trace_file import ALL, Trace

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class BackwardItems:
    """Items of one timestep (or of the union of all) in the order (b, y, x, channel tile).

    `gradients` [B, H, W] counts the non-zero gradients in reach of a position, `active` [B, H, W, tiles] the outputs to
    compute; `macs` is what the lanes really multiply. `added` [B, H, W, tiles] are the gradients that identity
    shortcuts add: an element of the tile that holds its channel alone.
    """

    gradients: Counts
    active: Counts
    added: Counts | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all items."""
        macs = int((self.gradients * self.active.sum(axis=-1)).sum())
        return macs if self.added is None else macs + int((self.added * self.active).sum())

    def elements(self, tile: int) -> Counts:
        """Gradients [B H W] that one channel tile of each position takes."""
        return self.gradients.ravel() if self.added is None else (self.gradients + self.added[..., tile]).ravel()

    def unit_elements(self, tile: int, first: int, last: int) -> int:
        """Elements of weight 1, those of identity shortcuts, of one channel tile at the positions `first` to `last`."""
        if self.added is None:
            return 0
        tiles = self.active.shape[-1]
        real = self.active.reshape(-1, tiles)[first:last, tile] > 0
        return int(self.added.reshape(-1, tiles)[first:last, tile][real].sum())

    def work(self, tile: int, first: int, last: int) -> tuple[Counts, Counts]:
        """(gradients, active) of one channel tile at the positions `first` to `last`; empty masks are left out."""
        active = self.active.reshape(-1, self.active.shape[-1])[first:last, tile]
        real = active > 0
        return self.elements(tile)[first:last][real], active[real]


def backward_items(consumers: Sequence[Consumer], masks: Flags, config: BackwardEngineConfig) -> BackwardItems:
    """Count the items of the sums W^T du over `consumers`, whose gradients are of one timestep [B, OH, OW, M].

    `masks` [B, H, W, C] are the firing masks of the layer whose spikes they take. With a skip switched off every
    gradient, or every output, counts.
    """
    reach = np.zeros(masks.shape[:3], np.int64)
    added = None
    for consumer in consumers:
        if consumer.identity:
            wanted = consumer.gradients != 0 if config.skip_zero_gradients else np.ones_like(masks)
            counts = count_by_tile(wanted.view(np.uint8), config.channel_tile)
            added = counts if added is None else added + counts
        else:
            add_reach(consumer.layer, consumer.gradients, config.skip_zero_gradients, reach)
    active = masks if config.skip_inactive_outputs else np.ones_like(masks)
    return BackwardItems(reach, count_by_tile(active, config.channel_tile), added)


def add_reach(upper: LayerShape, gradients: Floats, skip_zero: bool, reach: Counts) -> None:
    """Add to `reach` [B, H, W] the gradients [B, OH, OW, M] of `upper` that meet each position."""
    visits = np.full(gradients.shape[:-1], upper.out_channels, np.int64)
    if skip_zero:
        _count_nonzero(gradients.reshape(-1, gradients.shape[-1]), visits.reshape(-1))
    kernel = (upper.kernel_height, upper.kernel_width, upper.stride, upper.padding, upper.pool)
    _sum_windows(visits, reach, kernel)


def is_union(trace: Trace, layer: int) -> bool:
    """Whether the sums below layer `layer` + 1 serve every timestep: the last layer's gradient is always the same."""
    return layer == trace.network.hidden[-1]


def step_operands(
    trace: Trace, layer: int, samples: slice, step: int, weights: bool = False
) -> tuple[list[Consumer], Flags]:
    """Return who takes the spikes of `layer`, with their gradients at a step of the backward pass, and its masks there.

    Gradients are [B, OH, OW, M], masks [B, H, W, C]. Step 0 is the last timestep; below the last layer, the only step
    is that of the union of all masks. `weights`: read those of the convolutions too.
    """
    if is_union(trace, layer):
        return layer_consumers(trace, layer, samples, weights=weights), trace.masks(layer, samples).max(axis=0)
    t = trace.network.timesteps - 1 - step
    at = slice(t, t + 1)
    consumers = layer_consumers(trace, layer, samples, at, weights)
    return [replace(one, gradients=one.gradients[0]) for one in consumers], trace.masks(layer, samples, at)[0]


def layer_consumers(
    trace: Trace, layer: int, samples: slice, timesteps: slice = ALL, weights: bool = False
) -> list[Consumer]:
    """Return who takes the spikes of `layer`, in the order of the sums, with gradients [T, B, OH, OW, M] or g16."""
    layers, network = trace.network.layers, trace.network
    convolutions = [
        Consumer(layers[n], trace.gradients(n, samples, timesteps), trace.weights(n) if weights else None)
        for n in network.consumers(layer)
    ]
    added = [
        Consumer(layers[n], trace.gradients(n, samples, timesteps), identity=True) for n in network.identities(layer)
    ]
    return [*convolutions, *added]


def block_positions(positions: int, channels: int, config: Config) -> int:
    """Return how many of a plane's positions enter the units as one block, their sums of `channels` channels each.

    A block takes at most half of the backward sums' buffer, so that the next one is made while it is drained.
    """
    position_bytes = channels * config.contract.sum.width_bytes
    return max(1, min(positions, config.buffers.backward_sums_bytes // 2 // position_bytes))


def count_by_tile(active: NDArray[np.uint8], channel_tile: int) -> Counts:
    """Active outputs [..., tiles] of each channel tile of `active` [..., C]."""
    counts = np.zeros((*active.shape[:-1], -(-active.shape[-1] // channel_tile)), np.int64)
    _count_active(active.reshape(-1, active.shape[-1]), channel_tile, counts.reshape(-1, counts.shape[-1]))
    return counts


@numba.njit(cache=True, nogil=True)
def _count_nonzero(gradients: Floats, counts: Counts) -> None:
    """Count the values [rows, M] of each row that are neither +0 nor -0."""
    for row in range(len(gradients)):
        count = 0
        for value in gradients[row]:
            count += value != 0
        counts[row] = count


@numba.njit(cache=True, nogil=True)
def _count_active(active: Flags, channel_tile: int, counts: Counts) -> None:
    """Count the flags [rows, C] of each row and channel tile."""
    for row in range(len(active)):
        for tile in range(counts.shape[1]):
            count = np.int64(0)
            for flag in active[row, tile * channel_tile : (tile + 1) * channel_tile]:
                count += flag
            counts[row, tile] = count


@numba.njit(cache=True)
def _sum_windows(visits: Counts, reach: Counts, kernel: tuple[int, int, int, int, int]) -> None:
    """Add to every (y, x) the visits of the positions of the convolution whose receptive field holds it."""
    rows, columns, stride, padding, pool = kernel
    samples, height, width = reach.shape
    _, out_height, out_width = visits.shape
    for b in range(samples):
        for oy in range(out_height * pool):
            for ox in range(out_width * pool):
                for r in range(rows):
                    y = oy * stride + r - padding
                    if 0 <= y < height:
                        for s in range(columns):
                            x = ox * stride + s - padding
                            if 0 <= x < width:
                                reach[b, y, x] += visits[b, oy // pool, ox // pool]
