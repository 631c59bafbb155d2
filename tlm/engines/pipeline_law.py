"""When an element-wise unit, the transposition unit, and a FIFO, do what: the cycle of every transfer under stalls.

An element-wise unit (neuron, gradient, weight gradient, optimiser) computes in front of `latency_cycles` registers that
all stand still while a result waits. Stall-free, N elements take N + latency cycles, and their constants one more. The
transposition unit is such a pipeline without constants; its elements are words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from rtl_models.errors import InputError
from rtl_models.units import Pattern
from tlm.engines.lut_row_law import next_set

Cycles = NDArray[np.int64]
_ALWAYS = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class PipelineTransfers:
    """The cycle of every transfer on each stream of an element-wise unit."""

    constants: Cycles
    element: Cycles
    out: Cycles

    @property
    def cycles_total(self) -> int:
        """The last transfer's cycle plus one."""
        return int(self.out[-1]) + 1


@dataclass(frozen=True)
class BeatTransfers:
    """The cycle in which every beat enters a FIFO or the transposition unit, and in which it leaves."""

    put: Cycles
    get: Cycles

    @property
    def cycles_total(self) -> int:
        """The last transfer's cycle plus one."""
        return int(self.get[-1]) + 1


@dataclass(frozen=True)
class _FrozenPipeline:
    """Registers that all stand still while a result waits. Raises InputError for a latency below one cycle."""

    latency_cycles: int

    def __post_init__(self) -> None:
        if self.latency_cycles < 1:
            raise InputError("latency_cycles", "pipeline law", self.latency_cycles, "1 or more")

    def stall_free_cycles(self, elements: int) -> int:
        """Return the cycles of `elements` elements, from the first one's transfer to the last result's."""
        _check_counts([elements])
        return elements + self.latency_cycles


@dataclass(frozen=True)
class TranspositionTiming(_FrozenPipeline):
    """The cycle law of the transposition unit. Raises InputError for a latency below one cycle."""

    def transfers(self, words: int, valid: Pattern = _ALWAYS, ready: Pattern = _ALWAYS) -> BeatTransfers:
        """Return the cycle of every transfer of `words` words under the source's and the sink's patterns."""
        put, get = np.empty(words, np.int64), np.empty(words, np.int64)
        following = (next_set(_ALWAYS), next_set(valid), next_set(ready))
        _pipeline(_check_counts([words]), self.latency_cycles, following, np.empty(0, np.int64), put, get)
        return BeatTransfers(put, get)


@dataclass(frozen=True)
class PipelineTiming(_FrozenPipeline):
    """The cycle law of an element-wise unit. Raises InputError for a latency below one cycle."""

    @property
    def fill_cycles(self) -> int:
        """Cycles that a group takes beyond one per element: its constants' beat, and the way through the registers."""
        return 1 + self.latency_cycles

    def stream_cycles(self, counts: ArrayLike) -> int:
        """Return the stall-free cycles of groups of `counts` [groups] elements, each with its constants first."""
        groups = _check_counts(counts)
        return int(groups.sum()) + len(groups) * self.fill_cycles

    def transfers(
        self,
        counts: ArrayLike,
        valid: Mapping[str, Pattern] | None = None,
        ready: Mapping[str, Pattern] | None = None,
    ) -> PipelineTransfers:
        """Return the cycle of every transfer of groups of `counts` [groups] elements.

        valid (constants, element) and ready (out) are the patterns of `rtl_models.units.Stimulus`; a stream without
        one never waits of itself.
        """
        groups = _check_counts(counts)
        valid, ready = valid or {}, ready or {}
        constants = np.empty(len(groups), np.int64)
        element, out = (np.empty(int(groups.sum()), np.int64) for _ in range(2))
        patterns = (valid.get("constants", _ALWAYS), valid.get("element", _ALWAYS), ready.get("out", _ALWAYS))
        following = (next_set(patterns[0]), next_set(patterns[1]), next_set(patterns[2]))
        _pipeline(groups, self.latency_cycles, following, constants, element, out)
        return PipelineTransfers(constants, element, out)


@dataclass(frozen=True)
class FifoTiming:
    """The cycle law of a FIFO of `depth` beats. Raises InputError for a depth below one."""

    depth: int

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise InputError("depth", "FIFO law", self.depth, "1 or more")

    def transfers(self, beats: int, valid: Pattern = _ALWAYS, ready: Pattern = _ALWAYS) -> BeatTransfers:
        """Return the cycle of every transfer of `beats` beats under the source's and the sink's patterns.

        A beat may leave from the cycle after it came; a full FIFO takes the next one in the cycle after one has left.
        """
        _check_counts([beats])
        put, get = np.empty(beats, np.int64), np.empty(beats, np.int64)
        _fifo(self.depth, next_set(valid), next_set(ready), put, get)
        return BeatTransfers(put, get)


def _check_counts(counts: ArrayLike) -> Cycles:
    groups = np.ascontiguousarray(counts, np.int64)
    if groups.ndim != 1 or len(groups) == 0 or groups.min() < 1:
        raise InputError("number of elements", "pipeline law", groups.tolist(), "1 or more, in 1 or more groups")
    return groups


@njit(nogil=True, cache=True)
def _first_set(following: Cycles, cycle: int) -> int:
    return following[cycle] if cycle < len(following) else cycle


@njit(nogil=True, cache=True)
def _pipeline(
    counts: Cycles,
    latency: int,
    following: tuple[Cycles, Cycles, Cycles],
    constants: Cycles,
    element: Cycles,
    out: Cycles,
) -> None:
    """Fill in the cycles of all transfers; `constants` is empty where elements need none.

    The pipeline moves in slots: a slot is a cycle in which no result waits. Slots follow each other cycle by cycle, but
    a slot in which a result leaves waits for the sink. An element taken in slot s leaves in slot s + latency.
    """
    constants_flags, element_flags, out_flags = following
    last_constants, last_element, last_out = np.int64(-1), np.int64(-1), np.int64(-1)
    slot, cycle = np.int64(-1), np.int64(-1)  # the latest slot and its cycle
    taken, left = 0, 0
    leaving = np.empty(len(out), np.int64)  # the slot in which each result leaves
    for group in range(len(counts)):
        if len(constants):
            last_constants = max(_first_set(constants_flags, last_constants + 1), last_out + 1)
            constants[group] = last_constants
        for _ in range(counts[group]):
            earliest = max(_first_set(element_flags, last_element + 1), last_constants + 1)
            while cycle < earliest:
                # run on to the slot of the next result that leaves, or to the cycle wanted
                steps = earliest - cycle
                if left < taken and leaving[left] <= slot + steps:
                    cycle = _first_set(out_flags, cycle + leaving[left] - slot)
                    slot = leaving[left]
                    out[left] = cycle
                    left += 1
                else:
                    slot += steps
                    cycle += steps
            last_element = cycle
            element[taken] = cycle
            leaving[taken] = slot + latency
            taken += 1
        while left < taken:
            cycle = _first_set(out_flags, cycle + leaving[left] - slot)
            slot = leaving[left]
            out[left] = cycle
            left += 1
        last_out = cycle


@njit(nogil=True, cache=True)
def _fifo(depth: int, put_flags: Cycles, get_flags: Cycles, put: Cycles, get: Cycles) -> None:
    """Fill in the cycles of all transfers."""
    last_put, last_get = np.int64(-1), np.int64(-1)
    for beat in range(len(put)):
        last_put = _first_set(put_flags, last_put + 1)
        if beat >= depth:
            last_put = max(last_put, get[beat - depth] + 1)
        put[beat] = last_put
        last_get = _first_set(get_flags, max(last_get, last_put) + 1)
        get[beat] = last_get
