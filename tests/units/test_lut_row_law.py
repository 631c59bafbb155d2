"""The cycle law by itself: build times, the closed form, the recurrence over tiles, the recurrence over transfers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.lut_table import build_schedule
from tests.units.row_oracle import build_order
from tlm.engines.lut_row_law import LutRowTiming, next_set

timings = st.builds(
    LutRowTiming,
    k=st.integers(1, 6),
    lanes=st.sampled_from([1, 2, 4, 16]),
    build_latency_cycles=st.integers(1, 7),
    adder_latency_cycles=st.integers(1, 7),
    tree_registers=st.booleans(),
)


def test_build_time_is_mostly_the_entries_and_the_last_latency() -> None:
    for k in range(1, 9):
        for latency in range(1, 9):
            built = LutRowTiming(k, 1, build_latency_cycles=latency).build_cycles
            assert built == len(build_order(k, latency))
            assert [s.entry for s in build_schedule(k, latency)] == build_order(k, latency)
            plain = 2**k - 1 + (latency - 1 if k > 1 else 0)
            # operands come late where sums wait for sums
            waits = (k == 3 and latency >= 4) or (k == 4 and latency >= 5) or k > 4
            assert built == plain or (waits and built > plain)


def test_known_build_times() -> None:
    assert LutRowTiming(4, 16).build_cycles == 15
    assert LutRowTiming(4, 16, build_latency_cycles=3).build_cycles == 17
    assert LutRowTiming(3, 1, build_latency_cycles=4).build_cycles == 11
    assert LutRowTiming(1, 1, build_latency_cycles=9).build_cycles == 1


def test_a_tile_worked_out_by_hand() -> None:
    # k = 2: loads in cycles 0 and 1, their sum in 2; look-ups in 3, 4, 5; each output one cycle after its look-up
    law = LutRowTiming(k=2, lanes=2)
    told = law.transfers([3], [True])
    assert (told.load.tolist(), told.index.tolist(), told.out.tolist()) == ([0, 1], [3, 4, 5], [4, 5, 6])
    assert told.cycles_total == law.stall_free_cycles(1, 3) == 7
    # the sink waits in cycles 4 and 5: the first output stays, and the second look-up waits with it
    told = law.transfers([3], [True], ready={"out": np.array([1, 1, 1, 1, 0, 0], np.uint8)})
    assert (told.index.tolist(), told.out.tolist()) == ([3, 6, 7], [6, 7, 8])


@settings(deadline=None, derandomize=True)
@given(timings, st.integers(1, 6), st.integers(1, 20))
def test_closed_form_equals_both_recurrences(law: LutRowTiming, tiles: int, positions: int) -> None:
    cycles = law.stall_free_cycles(tiles, positions)
    assert law.stream_cycles([positions] * tiles) == cycles
    emit = np.arange(tiles) == tiles - 1
    assert law.transfers([positions] * tiles, emit).cycles_total == cycles


@settings(deadline=None, derandomize=True)
@given(timings, st.lists(st.integers(1, 12), min_size=1, max_size=10))
def test_tiles_of_different_lengths(law: LutRowTiming, positions: list[int]) -> None:
    emit = np.arange(len(positions)) == len(positions) - 1
    assert law.stream_cycles(positions) == law.transfers(positions, emit).cycles_total


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 1), max_size=30))
def test_next_set_flag(flags: list[int]) -> None:
    found = next_set(np.array(flags, np.uint8))
    for cycle, first in enumerate(found):
        assert first == next((c for c in range(cycle, len(flags)) if flags[c]), len(flags))


def test_a_stream_without_outputs_ends_with_its_last_lookup() -> None:
    told = LutRowTiming(k=2, lanes=2).transfers([2, 2], [False, False])
    assert len(told.out) == 0
    assert told.cycles_total == told.index[-1] + 1
