"""The queue before the backward units: cases worked out by hand, agreement with one unit's law, bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm.config import BackwardEngineConfig
from tlm.engines.backward_law import BackwardUnits, BackwardUnitTiming, Dispatch

Pairs = list[tuple[int, int]]
items = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=12)


def make_units(**parameters: int) -> BackwardUnits:
    """One unit of 4 lanes, adder latency 4, two items in flight, unless told otherwise."""
    defaults = {"units": 1, "lanes": 4, "adder_latency_cycles": 4, "items_in_flight": 2}
    return BackwardUnits(BackwardEngineConfig(**(defaults | parameters)))


def run(pairs: Pairs, start: int = 0, **parameters: int) -> Dispatch:
    """Run (gradients, active channels) of each item through idle units."""
    return feed(make_units(**parameters), pairs, start)


def feed(units: BackwardUnits, pairs: Pairs, start: int) -> Dispatch:
    counts = np.array(pairs, np.int64).reshape(-1, 2)
    return units.run(counts[:, 0], counts[:, 1], start)


@pytest.mark.parametrize(
    ("pairs", "cycles"),
    [
        # 3 cycles of compaction; starts at 4, 8, 12, 16 and 20; a cycle of lanes, 4 of adder and 2 of pipeline: the sum
        # can be read at 27 and leaves at 28
        ([(5, 3)], 4 + 4 * 4 + 1 + 6 + 1 + 1),
        ([(5, 16)], 17 + 5 * 4 + 6 + 4 + 1),  # four cycles of lanes an element hide the adder; four beats of sums
        ([(5, 3), (5, 3)], 29 + 3 + 1 + 1),  # another 3 of compaction, a cycle of lanes, a beat: the sums in turn
        ([(0, 3)], 7),  # nothing to add: +0 leaves after compaction, activation, retirement and two of drain
    ],
)
def test_one_group(pairs: Pairs, cycles: int) -> None:
    assert run(pairs).completed_cycle == cycles


def test_work_that_comes_later_ends_later_by_as_much() -> None:
    assert run([(5, 3)], start=100).completed_cycle == 129


def test_an_empty_queue_takes_no_time_and_no_unit() -> None:
    done = run([], start=7)
    assert (done.dispatched_cycle, done.completed_cycle, len(done.units)) == (7, 7, 0)


@given(items.filter(bool), st.integers(1, 8), st.integers(1, 6), st.integers(1, 5))
def test_one_unit_takes_the_cycles_of_its_law(pairs: Pairs, lanes: int, latency: int, flight: int) -> None:
    groups = [min(flight, len(pairs) - first) for first in range(0, len(pairs), flight)]
    law = BackwardUnitTiming(lanes, latency).stall_free_cycles(groups, *zip(*pairs, strict=True))
    done = run(pairs, lanes=lanes, adder_latency_cycles=latency, items_in_flight=flight)
    assert done.completed_cycle == law
    assert done.units.tolist() == [0] * len(groups)


def test_units_keep_what_they_do_from_call_to_call() -> None:
    units, pairs = make_units(), [(5, 3), (2, 9), (7, 1), (0, 4)]
    feed(units, pairs[:2], 0)
    assert feed(units, pairs[2:], 0).completed_cycle == run(pairs).completed_cycle


def test_groups_go_to_the_unit_that_is_free_first() -> None:
    assert run([(5, 3)] * 8, units=3).units.tolist()[:3] == [0, 1, 2]
    assert run([(9, 9), (9, 9), (1, 1), (1, 1), (1, 1), (1, 1)], units=2).units.tolist() == [0, 1, 1]


def test_an_idle_unit_left_over_means_that_more_may_come_at_once() -> None:
    assert run([(5, 3)] * 4, units=3).dispatched_cycle == 0
    assert run([(5, 3)] * 4, units=2).dispatched_cycle > 0


@given(items, st.integers(1, 4), st.integers(1, 8), st.integers(1, 6), st.integers(1, 5))
def test_no_faster_than_all_lanes_or_the_longest_chain(
    pairs: Pairs, units: int, lanes: int, latency: int, flight: int
) -> None:
    done = run(pairs, units=units, lanes=lanes, adder_latency_cycles=latency, items_in_flight=flight)
    visits = sum(n * -(-active // lanes) for n, active in pairs)
    chains = [max(0, n - 1) * max(-(-active // lanes), latency) + active for n, active in pairs]
    assert done.completed_cycle * units >= visits
    assert done.completed_cycle >= max(chains, default=0)
    assert 0 <= done.dispatched_cycle <= done.completed_cycle


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 12), st.integers(1, 4))
def test_more_units_or_lanes_never_slow_equal_items_down(gradients: int, active: int, number: int, more: int) -> None:
    pairs = [(gradients, active)] * number
    few = run(pairs, units=more, lanes=more).completed_cycle
    assert run(pairs, units=more + 1, lanes=more).completed_cycle <= few
    assert run(pairs, units=more, lanes=more + 1).completed_cycle <= few
