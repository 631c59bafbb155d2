"""How many spikes meet each lane of a LUT engine, from a trace's real spikes: what zero-skipping adders wait for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tlm.schedule.geometry import MicroBatch
from tlm.schedule.lut_jobs import LutJob
from tlm.schedule.zero_tiles import layer_indices
from workloads.record import Arithmetic
from workloads.trace_file import Trace

_BITS = np.array([value.bit_count() for value in range(256)], np.uint8)


@dataclass(frozen=True)
class Ones:
    """Spikes of one layer and micro-batch on one engine.

    `most` [positions, tiles]: those of the lane with the most, 0..k, tiles plane by plane; `total` of all lanes;
    `groups` of k spikes, those of padded lanes included.
    """

    most: NDArray[np.uint8]
    total: int
    groups: int

    def of_job(self, job: LutJob) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (additions, most) [tiles of the job]: what the tree waits for, at least one a position."""
        waited = np.maximum(self.most[job.position_first : job.position_end], 1)
        tiles = list(job.tiles)
        return waited.sum(axis=0, dtype=np.int64)[tiles], waited.max(axis=0).astype(np.int64)[tiles]


def count_ones(trace: Trace, layer: int, batch: MicroBatch, arithmetic: Arithmetic, update: bool) -> Ones:
    """Count the spikes that meet the forward engine, or with `update` the weight update engine."""
    total = groups = 0
    most = []
    for indices in layer_indices(trace, layer, batch.samples, arithmetic, update):
        found = np.empty((len(indices), indices.shape[1] // arithmetic.lanes), np.uint8)
        total += _most_by_tile(indices, arithmetic.lanes, _BITS, found)
        groups += indices.size
        most.append(found)
    return Ones(np.concatenate(most, axis=1), total, groups)


@njit(nogil=True, cache=True)
def _most_by_tile(indices: NDArray[np.uint8], lanes: int, bits: NDArray[np.uint8], most: NDArray[np.uint8]) -> int:
    """Fill in the set bits of each tile's lane with the most; returns all set bits."""
    total = 0
    for position in range(indices.shape[0]):
        for tile in range(most.shape[1]):
            largest = 0
            for lane in range(lanes):
                ones = bits[indices[position, tile * lanes + lane]]
                total += ones
                largest = max(largest, ones)
            most[position, tile] = largest
    return total
