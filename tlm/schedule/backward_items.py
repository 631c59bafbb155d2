"""The backward engine's work items, counted from a trace's real gradients and firing masks."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from tlm.config import BackwardEngineConfig, Config
from workloads.network import Layer
from workloads.record import Flags, Floats
from workloads.trace_file import Trace

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class BackwardItems:
    """Items of one timestep (or of the union of all) in the order (b, y, x, channel tile).

    `gradients` [B, H, W] counts the non-zero gradients in reach of a position, `active` [B, H, W, tiles] the outputs to
    compute; `macs` is what the lanes really multiply.
    """

    gradients: Counts
    active: Counts

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all items."""
        return int((self.gradients * self.active.sum(axis=-1)).sum())

    def work(self, tile: int, first: int, last: int) -> tuple[Counts, Counts]:
        """(gradients, active) of one channel tile at the positions `first` to `last`; empty masks are left out."""
        active = self.active.reshape(-1, self.active.shape[-1])[first:last, tile]
        real = active > 0
        return self.gradients.ravel()[first:last][real], active[real]


def backward_items(
    upper: Layer, gradients: NDArray[np.float32], masks: NDArray[np.uint8], config: BackwardEngineConfig
) -> BackwardItems:
    """Count the items of the sums W^T du through `upper`.

    `gradients` [B, OH, OW, M] are du of the layer above, `masks` [B, H, W, C] the firing masks of the layer below.
    With a skip switched off every gradient, or every output, counts.
    """
    visits = (gradients != 0).sum(axis=-1).astype(np.int64)
    if not config.skip_zero_gradients:
        visits[:] = upper.out_channels
    reach = np.zeros(masks.shape[:3], np.int64)
    kernel = (upper.kernel_height, upper.kernel_width, upper.stride, upper.padding, upper.pool)
    _sum_windows(visits, reach, kernel)
    active = masks if config.skip_inactive_outputs else np.ones_like(masks)
    return BackwardItems(reach, count_by_tile(active, config.channel_tile))


def is_union(trace: Trace, layer: int) -> bool:
    """Whether the sums below layer `layer` + 1 serve every timestep: the last layer's gradient is always the same."""
    return layer == len(trace.network.layers) - 2


def step_operands(trace: Trace, layer: int, samples: slice, step: int) -> tuple[Floats, Flags]:
    """Return the gradients [B, OH, OW, M] above and the masks [B, H, W, C] of `layer` at a step of the backward pass.

    Step 0 is the last timestep; below the last layer, the only step is that of the union of all masks.
    """
    if is_union(trace, layer):
        return trace.gradients(layer + 1, samples), trace.masks(layer, samples).max(axis=0)
    t = trace.network.timesteps - 1 - step
    at = slice(t, t + 1)
    return trace.gradients(layer + 1, samples, at)[0], trace.masks(layer, samples, at)[0]


def block_positions(positions: int, channels: int, config: Config) -> int:
    """Return how many of a plane's positions enter the units as one block, their sums of `channels` channels each.

    A block takes at most half of the backward sums' buffer, so that the next one is made while it is drained.
    """
    position_bytes = channels * config.contract.sum.width_bytes
    return max(1, min(positions, config.buffers.backward_sums_bytes // 2 // position_bytes))


def count_by_tile(active: NDArray[np.uint8], channel_tile: int) -> Counts:
    """Active outputs [..., tiles] of each channel tile of `active` [..., C]."""
    starts = np.arange(0, active.shape[-1], channel_tile)
    return np.add.reduceat(active.astype(np.int64), starts, axis=-1)


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
