"""When a LUT row does what: its cycle law, in closed form, by tile, and for every transfer under back-pressure.

The row builds one table while another serves; a tile's tables swap in the cycle of the last build step or of the last
look-up of the tile before, whichever is later. Stall-free, N tiles of P positions:
cycles = B + (N - 1) max(P, B, AL) + P + D, with B the build time, AL the adder's latency and D the output latency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from rtl_models.errors import InputError
from rtl_models.units import Pattern

Cycles = NDArray[np.int64]
_ALWAYS = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class RowTransfers:
    """The cycle of every transfer on each stream of a row."""

    load: Cycles
    index: Cycles
    out: Cycles

    @property
    def cycles_total(self) -> int:
        """The last transfer's cycle plus one."""
        return 1 + max(int(stream[-1]) for stream in (self.load, self.index, self.out) if len(stream))


@dataclass(frozen=True)
class LutRowTiming:
    """The cycle law of a row of `lanes` lanes with tables of 2**k entries."""

    k: int
    lanes: int
    build_latency_cycles: int = 1
    adder_latency_cycles: int = 1
    tree_registers: bool = False

    @cached_property
    def build_cycles(self) -> int:
        """B: one entry a cycle, by number of set bits, then ascending; a sum waits for its two operands."""
        readable_from = {1 << j: j + 1 for j in range(self.k)}
        cycle = self.k
        for entry in sorted(range(1, 1 << self.k), key=lambda e: (e.bit_count(), e))[self.k :]:
            highest = 1 << (entry.bit_length() - 1)
            issue = max(cycle, readable_from[highest], readable_from[entry - highest])
            readable_from[entry] = issue + self.build_latency_cycles
            cycle = issue + 1
        return max(readable_from.values())

    @property
    def output_latency_cycles(self) -> int:
        """D: cycles from a beat's look-up to its output being valid."""
        return self.adder_latency_cycles + (self.lanes.bit_length() if self.tree_registers else 0)

    def look_up_cycles(self, positions: int) -> int:
        """Return the cycles in which a tile's positions are looked up: one each."""
        return positions

    def stall_free_cycles(self, tiles: int, positions: int) -> int:
        """Return the cycles of `tiles` tiles of `positions` positions each, the last of which sends its sums."""
        _check_positions([tiles, positions])
        period = max(positions, self.build_cycles, self.adder_latency_cycles)
        return self.build_cycles + (tiles - 1) * period + positions + self.output_latency_cycles

    def stream_cycles(self, positions: ArrayLike) -> int:
        """Return the stall-free cycles of one stream of tiles with `positions` [tiles], the last of which sends."""
        counts = _check_positions(positions)
        last_lookup = _last_lookup(counts, self.build_cycles, self.adder_latency_cycles)
        return int(last_lookup) + self.output_latency_cycles + 1

    def transfers(
        self,
        positions: ArrayLike,
        emit: ArrayLike,
        valid: Mapping[str, Pattern] | None = None,
        ready: Mapping[str, Pattern] | None = None,
    ) -> RowTransfers:
        """Return the cycle of every transfer of one stream of tiles.

        positions, emit: [tiles]. valid (load, index) and ready (out) are the patterns of `rtl_models.units.Stimulus`;
        a stream without one never waits of itself.
        """
        counts = _check_positions(positions)
        sends = np.asarray(emit, np.bool_)
        if sends.shape != counts.shape:
            raise InputError("shape of emit", "LUT row law", list(sends.shape), str(list(counts.shape)))
        valid, ready = valid or {}, ready or {}
        load = np.empty(len(counts) * self.k, np.int64)
        index = np.empty(int(counts.sum()), np.int64)
        out = np.empty(int(counts[sends].sum()), np.int64)
        _transfers(
            counts,
            sends,
            (self.k, self.build_cycles, self.adder_latency_cycles, self.output_latency_cycles),
            (
                next_set(valid.get("load", _ALWAYS)),
                next_set(valid.get("index", _ALWAYS)),
                next_set(ready.get("out", _ALWAYS)),
            ),
            load,
            index,
            out,
        )
        return RowTransfers(load, index, out)


def _check_positions(positions: ArrayLike) -> Cycles:
    counts = np.ascontiguousarray(positions, np.int64)
    if counts.ndim != 1 or len(counts) == 0 or counts.min() < 1:
        raise InputError("positions of a tile", "LUT row law", counts.tolist(), "1 or more, of 1 or more tiles")
    return counts


def next_set(pattern: Pattern) -> Cycles:
    """Return for each cycle of a pattern the first cycle from it on whose flag is 1 (beyond the end all are)."""
    cycles = np.where(np.asarray(pattern) != 0, np.arange(len(pattern)), len(pattern))
    return np.minimum.accumulate(cycles[::-1])[::-1].astype(np.int64)


@njit(nogil=True, cache=True)
def _last_lookup(positions: Cycles, build: int, adder: int) -> int:
    """Return the cycle of the last look-up of a stall-free stream."""
    swap = -1
    last = -1
    first = -adder
    for tile in range(len(positions)):
        swap = max(swap + build, last)
        first = max(swap + 1, first + adder)  # a position's partial sum comes back after the adder's latency
        last = first + positions[tile] - 1
    return last


@njit(nogil=True, cache=True)
def _first_set(following: Cycles, cycle: int) -> int:
    return following[cycle] if cycle < len(following) else cycle


@njit(nogil=True, cache=True)
def _transfers(
    positions: Cycles,
    emit: NDArray[np.bool_],
    latencies: tuple[int, int, int, int],
    following: tuple[Cycles, Cycles, Cycles],
    load: Cycles,
    index: Cycles,
    out: Cycles,
) -> None:
    """Fill in the cycles of all transfers.

    The look-up pipeline moves in slots: a slot is a cycle in which no output waits. Slots follow each other cycle by
    cycle, but the slot in which a sent sum leaves waits for the sink. A sum issued in slot s leaves in slot s + D.
    """
    k, build, adder, output_latency = latencies
    load_flags, index_flags, out_flags = following
    slot_of = np.full(positions.max(), -adder, np.int64)  # the slot in which each position was last issued
    leaving = np.empty(len(out), np.int64)  # the slot in which each sum leaves
    slot, cycle = np.int64(-1), np.int64(-1)  # the latest slot and its cycle
    left, sent, beat = 0, 0, 0
    load_done, swap, last_lookup = np.int64(-1), np.int64(-1), np.int64(-1)
    for tile in range(len(positions)):
        for j in range(k):
            offered = _first_set(load_flags, load_done + 1)
            load_done = max(offered, swap + 1)
            load[tile * k + j] = load_done
        swap = max(load_done + build - k, last_lookup)
        for position in range(positions[tile]):
            offered = _first_set(index_flags, last_lookup + 1)
            earliest_cycle = max(offered, swap + 1)
            earliest_slot = max(slot + 1, slot_of[position] + adder)
            while slot < earliest_slot or cycle < earliest_cycle:
                # run on to the slot of the next sum that leaves, or to the one wanted
                steps = max(earliest_slot - slot, earliest_cycle - cycle)
                if left < sent and leaving[left] <= slot + steps:
                    cycle = _first_set(out_flags, cycle + leaving[left] - slot)
                    slot = leaving[left]
                    out[left] = cycle
                    left += 1
                else:
                    slot += steps
                    cycle += steps
            slot_of[position] = slot
            last_lookup = cycle
            index[beat] = cycle
            beat += 1
            if emit[tile]:
                leaving[sent] = slot + output_latency
                sent += 1
    while left < sent:
        cycle = _first_set(out_flags, cycle + leaving[left] - slot)
        slot = leaving[left]
        out[left] = cycle
        left += 1
