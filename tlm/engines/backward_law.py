"""When a sparse backward unit does what: its cycle law, for every transfer under back-pressure, and group by group.

Items come in groups. While one group is computed, the next one's masks are compacted (one active channel a cycle) and
the sums of the one before are sent (`lanes` a cycle). An element keeps the lanes for ceil(active / lanes) cycles; the
next element of the same item starts at least the adder's latency after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from rtl_models.errors import InputError
from rtl_models.units import Pattern
from tlm.config import BackwardEngineConfig
from tlm.engines.lut_row_law import next_set
from tlm.schedule.group_queue import GroupQueue

Cycles = NDArray[np.int64]
Counts = NDArray[np.int64]
_ALWAYS = np.zeros(0, np.uint8)
PIPELINE_CYCLES = 2  # selection and product: from an element's transfer to the addition of its first chunk, less one


@dataclass(frozen=True)
class BackwardTransfers:
    """The cycle of every transfer on each stream of a backward unit."""

    item: Cycles
    gradient: Cycles
    sums: Cycles

    @property
    def cycles_total(self) -> int:
        """The last transfer's cycle plus one."""
        return int(self.sums[-1]) + 1


@dataclass(frozen=True)
class BackwardUnitTiming:
    """The cycle law of a unit with `lanes` multiply-accumulate lanes."""

    lanes: int
    adder_latency_cycles: int = 1

    def stall_free_cycles(self, group_items: ArrayLike, gradients: ArrayLike, active: ArrayLike) -> int:
        """Return the cycles of groups back to back, from the first item to the last sum, when nothing stalls.

        group_items: [groups], items of each; gradients, active: [items], gradients and active channels of each.
        """
        groups, n, a = _check(group_items, gradients, active)
        state = _idle_unit()
        sent = np.int64(0)
        first = 0
        for items in groups:
            stop = first + int(items)
            sent = _run_group(n, a, first, stop, 0, self.lanes, self.adder_latency_cycles, state)
            first = stop
        return int(sent) + 1

    def transfers(
        self,
        group_items: ArrayLike,
        gradients: ArrayLike,
        active: ArrayLike,
        valid: Mapping[str, Pattern] | None = None,
        ready: Mapping[str, Pattern] | None = None,
    ) -> BackwardTransfers:
        """Return the cycle of every transfer of groups that run through one unit; arguments as `stall_free_cycles`.

        valid (item, gradient) and ready (sums) are the patterns of `rtl_models.units.Stimulus`; a stream without one
        never waits of itself.
        """
        groups, n, a = _check(group_items, gradients, active)
        valid, ready = valid or {}, ready or {}
        item = np.empty(len(n), np.int64)
        gradient = np.empty(int(n.sum()), np.int64)
        sums = np.empty(int((-(-a // self.lanes)).sum()), np.int64)
        _transfers(
            groups,
            n,
            a,
            (self.lanes, self.adder_latency_cycles),
            (
                next_set(valid.get("item", _ALWAYS)),
                next_set(valid.get("gradient", _ALWAYS)),
                next_set(ready.get("sums", _ALWAYS)),
            ),
            item,
            gradient,
            sums,
        )
        return BackwardTransfers(item, gradient, sums)


def _check(group_items: ArrayLike, gradients: ArrayLike, active: ArrayLike) -> tuple[Counts, Counts, Counts]:
    where = "backward unit law"
    groups = np.ascontiguousarray(group_items, np.int64)
    n, a = np.ascontiguousarray(gradients, np.int64), np.ascontiguousarray(active, np.int64)
    if groups.ndim != 1 or len(groups) == 0 or groups.min() < 1:
        raise InputError("items of the groups", where, groups.tolist(), "1 or more each")
    for name, counts, least in (("gradients", n, 0), ("active channels", a, 1)):
        if counts.shape != (int(groups.sum()),) or counts.min() < least:
            raise InputError(
                f"{name} of the items", where, counts.tolist(), f"{least} or more, of {groups.sum()} items"
            )
    return groups, n, a


@njit(nogil=True, cache=True)
def _first_set(following: Cycles, cycle: int) -> int:
    return following[cycle] if cycle < len(following) else cycle


@njit(nogil=True, cache=True)
def _transfers(
    group_items: Counts,
    gradients: Counts,
    active: Counts,
    unit: tuple[int, int],
    following: tuple[Cycles, Cycles, Cycles],
    item_cycle: Cycles,
    gradient_cycle: Cycles,
    sums_cycle: Cycles,
) -> None:
    """Fill in the cycles of all transfers, group by group.

    A group is activated (`activated`) when its masks are compacted and the group before has retired; it retires with
    its last element, but not before the drain has sent the group before that; its sums follow when the last is written.
    """
    lanes, adder = unit
    item_flags, gradient_flags, sums_flags = following
    slot_start = np.empty(group_items.max(), np.int64)  # when each slot last started an element of this group
    activated, retired, drained = np.int64(-1), np.int64(-1), np.int64(-1)
    offered, compacted = np.int64(0), np.int64(0)  # the next item: may be offered, finds the compactor free
    lanes_free, started, sent = np.int64(0), np.int64(-1), np.int64(-1)
    first, element, beat = 0, 0, 0
    for items in group_items:
        stop = first + items
        compacted = max(compacted, activated + 1)
        for item in range(first, stop):
            item_cycle[item] = max(_first_set(item_flags, offered), compacted)
            offered = item_cycle[item] + 1
            compacted = item_cycle[item] + active[item]
        activated = max(compacted, retired)

        written = np.int64(0)  # cycle from which on all of the group's sums can be read
        retired = activated + 1
        slot_start[:items] = -adder
        turn = 0
        found = True
        while found:
            found = False
            for slot in range(items):
                if turn < gradients[first + slot]:
                    found = True
                    earliest = max(activated + 1, lanes_free, slot_start[slot] + adder)
                    started = max(_first_set(gradient_flags, started + 1), earliest)
                    slot_start[slot] = started
                    gradient_cycle[element] = started
                    element += 1
                    lanes_free = started - -active[first + slot] // lanes
                    retired = started
                    written = lanes_free + adder + PIPELINE_CYCLES
            turn += 1
        retired = max(retired, drained + 1)

        loaded = max(retired + 1, written)
        for item in range(first, stop):
            for _ in range(-(-active[item] // lanes)):
                loaded = max(loaded, sent)  # the output register is free when the beat before leaves
                drained = loaded
                sent = _first_set(sums_flags, loaded + 1)
                sums_cycle[beat] = sent
                beat += 1
                loaded += 1
        first = stop


class BackwardUnits:
    """Several units with one queue of groups: what each is doing between two calls."""

    def __init__(self, config: BackwardEngineConfig) -> None:
        self._config = config
        self._states = np.tile(_idle_unit(), (config.units, 1))

    def run(self, gradients: Counts, active: Counts, start_cycle: int) -> Dispatch:
        """Feed items (gradients and active channels of each) from `start_cycle` on, in groups of `items_in_flight`.

        The unit whose compactor is free first takes the next group, the lowest number first.
        """
        config = self._config
        units = np.empty(-(-len(gradients) // config.items_in_flight), np.int64)
        dispatched, completed = _run_queue(
            np.ascontiguousarray(gradients, np.int64),
            np.ascontiguousarray(active, np.int64),
            start_cycle,
            config.items_in_flight,
            config.lanes,
            config.adder_latency_cycles,
            self._states,
            units,
        )
        return Dispatch(int(dispatched), int(completed), units)


class Dispatch(NamedTuple):
    """Where and when a call's groups ran."""

    dispatched_cycle: int
    """The cycle from which on the queue is empty and a unit is free for more."""
    completed_cycle: int
    """The cycle after the last sum has left."""
    units: Counts
    """[groups]: the unit that ran each group, in the order of the queue."""


class UnitClock:
    """One unit's groups by the law: when each one's last sums leave, given when it was offered."""

    def __init__(self, config: BackwardEngineConfig) -> None:
        self._config = config
        self._state = _idle_unit()

    def run(self, gradients: Counts, active: Counts, start_cycle: int) -> int:
        """Return the cycle of the last sums' transfer of one group, stall-free, offered from `start_cycle` on."""
        n, a = np.ascontiguousarray(gradients, np.int64), np.ascontiguousarray(active, np.int64)
        lanes, adder = self._config.lanes, self._config.adder_latency_cycles
        return int(_run_group(n, a, 0, len(n), start_cycle, lanes, adder, self._state))


def deal_groups(queue: GroupQueue, config: BackwardEngineConfig) -> Counts:
    """Return the unit that runs each group where the whole queue is there from the beginning and all units are idle."""
    units = BackwardUnits(config)
    ends = np.cumsum(queue.block_items)
    blocks = [slice(end - count, end) for end, count in zip(ends, queue.block_items, strict=True)]
    return np.concatenate([units.run(queue.gradients[block], queue.active[block], 0).units for block in blocks])


@njit(nogil=True, cache=True)
def _run_queue(
    gradients: Counts,
    active: Counts,
    start: int,
    items_in_flight: int,
    lanes: int,
    adder: int,
    states: Cycles,
    units: Counts,
) -> tuple[int, int]:
    completed = start
    for group in range(len(units)):
        unit = np.argmin(states[:, ACTIVATED])
        first = group * items_in_flight
        stop = min(first + items_in_flight, len(gradients))
        sent = _run_group(gradients, active, first, stop, start, lanes, adder, states[unit])
        completed = max(completed, sent + 1)
        units[group] = unit
    return max(start, states[:, ACTIVATED].min() + 1), completed


ACTIVATED, RETIRED, DRAINED, LANES_FREE = range(4)  # a unit's state: the latest cycle of each, and a cycle


def _idle_unit() -> Cycles:
    """Return the state of a unit after reset."""
    return np.array([-1, -1, -1, 0], np.int64)


@njit(nogil=True, cache=True)
def _run_group(
    gradients: Counts, active: Counts, first: int, stop: int, start: int, lanes: int, adder: int, state: Cycles
) -> int:
    """Run one group, offered whole from cycle `start` on, stall-free; return the cycle of its last sums' transfer."""
    compact, beats = np.int64(0), np.int64(0)
    for item in range(first, stop):
        compact += active[item]
        beats += -(-active[item] // lanes)
    compacted = max(start, state[ACTIVATED] + 1) + compact
    activated = max(compacted, state[RETIRED])
    began = max(activated + 1, state[LANES_FREE])
    span, free = _group_span(gradients, active, first, stop, lanes, adder)
    retired = activated + 1
    written = np.int64(0)
    if span >= 0:
        retired = began + span
        state[LANES_FREE] = began + free
        written = state[LANES_FREE] + adder + PIPELINE_CYCLES
    retired = max(retired, state[DRAINED] + 1)
    state[ACTIVATED] = activated
    state[RETIRED] = retired
    state[DRAINED] = max(retired + 1, written) + beats - 1
    return int(state[DRAINED]) + 1


@njit(nogil=True, cache=True)
def _group_span(
    gradients: Counts, active: Counts, first: int, stop: int, lanes: int, adder: int
) -> tuple[np.int64, np.int64]:
    """Return when a group's last element starts and when the lanes are free, from its first start; -1, 0 for none.

    Turn by turn as the elements come; as soon as a turn's starts are those of the turn before, all shifted alike, they
    stay so until an item runs out, and the turns up to there are skipped.
    """
    items = stop - first
    start = np.full(items, -adder, np.int64)
    free, last = np.int64(0), np.int64(-1)
    turn = np.int64(0)
    in_turn = 0  # items of the turn before
    while True:
        shift, same, count = np.int64(-1), True, 0
        left = np.int64(1) << 62
        for slot in range(items):
            n = gradients[first + slot]
            if turn < n:
                begin = max(free, start[slot] + adder)
                moved = begin - start[slot]
                if 0 <= shift != moved:
                    same = False
                shift = moved
                start[slot] = begin
                last = begin
                free = begin - -active[first + slot] // lanes
                left = min(left, n - turn - 1)
                count += 1
        if count == 0:
            return last, free
        turn += 1
        if same and turn > 1 and count == in_turn and left > 0:
            for slot in range(items):
                if turn < gradients[first + slot]:
                    start[slot] += left * shift
            free += left * shift
            last += left * shift
            turn += left
        in_turn = count
