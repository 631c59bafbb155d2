"""Cycle law of the sparse backward unit, and of the queue that feeds several units.

Not yet proved against RTL: there is no RTL of this unit so far. A work item is one channel tile of one output
position; it visits `gradients` non-zero input gradients, and each visit keeps the `lanes` busy for ceil(active / lanes)
cycles, where `active` outputs of the tile have a mask bit. A unit works on `items_in_flight` items in turn, so that an
item's next addition waits out the adder's latency while the others go on. The mask compactor (active + 2 cycles an
item) works one group ahead.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from tlm.config import BackwardEngineConfig

COMPACTOR_OVERHEAD_CYCLES = 2  # prototype of the unit: active + 2 cycles (docs/timing.md)

Counts = NDArray[np.int64]


class BackwardUnits:
    """The state of all units between two calls: when each compactor and each set of lanes is free, in cycles."""

    def __init__(self, config: BackwardEngineConfig) -> None:
        self._config = config
        self._compactor_free = np.zeros(config.units, np.int64)
        self._lanes_free = np.zeros(config.units, np.int64)

    def run(self, gradients: Counts, active: Counts, start_cycle: int) -> tuple[int, int]:
        """Feed items (non-zero gradients and active outputs of each) from `start_cycle` on.

        Returns the cycle in which the queue is empty and a unit is free for more, and the cycle in which the last sum
        has left its adder.
        """
        config = self._config
        dispatched, completed = _run(
            gradients,
            active,
            start_cycle,
            config.lanes,
            config.adder_latency_cycles,
            config.items_in_flight,
            self._compactor_free,
            self._lanes_free,
        )
        return int(dispatched), int(completed)


def group_cycles(gradients: Counts, active: Counts, lanes: int, adder_latency_cycles: int) -> int:
    """Cycles that one unit's lanes spend on one group of items in flight together."""
    return int(_group_cycles(gradients, active, 0, len(gradients), lanes, adder_latency_cycles))


@numba.njit(cache=True)
def _group_cycles(
    gradients: Counts, active: Counts, first: int, last: int, lanes: int, adder_latency_cycles: int
) -> int:
    issue = 0
    chain = 0
    for item in range(first, last):
        visit = -(-active[item] // lanes)
        issue += gradients[item] * visit
        chain = max(chain, gradients[item] * max(visit, adder_latency_cycles))
    return max(issue, chain)


@numba.njit(cache=True)
def _run(
    gradients: Counts,
    active: Counts,
    start: int,
    lanes: int,
    adder_latency_cycles: int,
    items_in_flight: int,
    compactor_free: Counts,
    lanes_free: Counts,
) -> tuple[int, int]:
    completed = start
    for first in range(0, len(gradients), items_in_flight):
        last = min(first + items_in_flight, len(gradients))
        unit = np.argmin(compactor_free)
        compact = 0
        for item in range(first, last):
            compact += active[item] + COMPACTOR_OVERHEAD_CYCLES
        compacted = max(start, compactor_free[unit]) + compact
        begin = max(compacted, lanes_free[unit])
        compactor_free[unit] = begin
        lanes_free[unit] = begin + _group_cycles(gradients, active, first, last, lanes, adder_latency_cycles)
        completed = max(completed, lanes_free[unit] + adder_latency_cycles)
    return max(start, compactor_free.min()), completed
