"""The backward unit's law by groups: cases worked out by hand, the exact law beside it, and the queue over units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm.config import BackwardEngineConfig
from tlm.engines.backward_law import BackwardUnits, BackwardUnitTiming, deal_groups
from tlm.schedule.group_queue import GroupQueue

LANES, ADDER = 4, 4
Pairs = list[tuple[int, int]]
items = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 19)), max_size=12)


def counts(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """(gradients, active) as the law takes them."""
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return np.ascontiguousarray(array[:, 0]), np.ascontiguousarray(array[:, 1])


def run(pairs: Pairs, start: int = 0, **parameters: int) -> tuple[int, int]:
    """(queue empty, last sum) of units of 4 lanes, adder latency 4, two items in flight, unless told otherwise."""
    defaults = {"units": 1, "lanes": LANES, "adder_latency_cycles": ADDER, "items_in_flight": 2}
    done = BackwardUnits(BackwardEngineConfig(**(defaults | parameters))).run(*counts(pairs), start)
    return done.dispatched_cycle, done.completed_cycle


def element_cycles(pairs: Pairs) -> int:
    """Cycles from the first to the last element of one group, as the exact law says."""
    gradient = BackwardUnitTiming(LANES, ADDER).transfers([len(pairs)], *counts(pairs)).gradient
    return int(gradient[-1] - gradient[0])


@pytest.mark.parametrize(
    ("pairs", "cycles"),
    [
        ([(5, 3)], 4 * 4),  # alone: every element waits for the adder
        ([(5, 16)], 4 * 4),  # four cycles an element hide the latency exactly
        ([(5, 17)], 4 * 5),
        ([(5, 3)] * 4, 4 * 4 + 3),  # four items in turn: four times the work in the same time
        ([(5, 3)] * 5, 5 * 5 - 1),  # now the lanes are always busy
        ([(9, 1), (1, 1), (1, 1)], 8 * 4),  # the longest item
        ([(2, 1), (1, 1), (3, 1)], 2 + 4 + 4),  # the third waits for its own adder, though the second is gone
        ([(0, 7), (3, 1)], 2 * 4),
    ],
)
def test_one_group_is_bound_by_the_lanes_or_by_the_longest_chain(pairs: Pairs, cycles: int) -> None:
    assert element_cycles(pairs) == cycles


def test_one_item_is_compacted_computed_and_sent() -> None:
    # 3 cycles after its transfer it is compacted; elements at 4, 8, 12, 16, 20 (of one cycle); the last sum is there
    # two cycles and the adder later, is put into the output register, and leaves
    assert run([(5, 3)], start=100) == (100 + 3 + 1, 100 + 20 + 1 + 2 + ADDER + 1 + 1)


def test_all_zero_gradients_still_deliver() -> None:
    # active from 4 on, retired in 4, put into the output register in 5, sent in 6
    assert run([(0, 3)]) == (4, 7)


def test_an_empty_queue_takes_no_time() -> None:
    assert run([], start=7) == (7, 7)


def test_compactor_and_drain_work_beside_the_lanes() -> None:
    pairs = [(5, 16)] * 2 + [(5, 3)] * 2
    # compacted in 32; elements of 4 cycles from 33 on; group two compacted meanwhile, its elements from 73 on, in turns
    # of the adder's latency: 73, 74, ..., 89, 90
    assert run(pairs[:2]) == (33, 33 + 10 * 4 + 2 + ADDER + 8 + 1)
    assert run(pairs) == (70, 90 + 1 + 2 + ADDER + 2 + 1)


def test_units_keep_what_they_do_from_call_to_call() -> None:
    config = BackwardEngineConfig(units=1, lanes=4, adder_latency_cycles=4, items_in_flight=2)
    units = BackwardUnits(config)
    first, second = units.run(*counts([(5, 3)]), 0), units.run(*counts([(5, 3)]), 0)
    cycles = BackwardUnitTiming(LANES, ADDER).stall_free_cycles([1, 1], *counts([(5, 3)] * 2))
    assert (first.dispatched_cycle, second.completed_cycle) == (4, cycles)
    assert second.dispatched_cycle == 21  # when the first item's last element is taken, plus one
    assert units.run(*counts([]), 30)[:2] == (30, 30)


def test_groups_are_dealt_to_free_units() -> None:
    alone = run([(5, 3)] * 2)[1]
    assert run([(5, 3)] * 4, units=2) == (7, alone)
    assert run([(5, 3)] * 4, units=3) == (0, alone)  # the third is free at once


def test_each_group_names_its_unit() -> None:
    config = BackwardEngineConfig(units=2, lanes=4, adder_latency_cycles=4, items_in_flight=1)
    pairs = [(30, 9), (1, 1), (1, 1), (1, 1)]
    # unit 0 takes the next group when it has compacted its first: in cycle 10; unit 1 has compacted one, then another
    assert BackwardUnits(config).run(*counts(pairs), 0).units.tolist() == [0, 1, 1, 1]
    queue = GroupQueue(np.arange(4), *counts(pairs), np.ones(4, np.int64), np.array([3, 0, 1]))
    assert deal_groups(queue, config).tolist() == [0, 1, 1, 1]


@settings(max_examples=300, deadline=None)
@given(items.filter(bool), st.integers(1, 7), st.integers(1, 12), st.integers(1, 5))
def test_group_by_group_equals_the_exact_law(pairs: Pairs, lanes: int, adder: int, flight: int) -> None:
    groups = [len(pairs[i : i + flight]) for i in range(0, len(pairs), flight)]
    exact = BackwardUnitTiming(lanes, adder).transfers(groups, *counts(pairs))
    config = BackwardEngineConfig(units=1, lanes=lanes, adder_latency_cycles=adder, items_in_flight=flight)
    done = BackwardUnits(config).run(*counts(pairs), 0)
    assert done.completed_cycle == exact.cycles_total
    assert done.completed_cycle == BackwardUnitTiming(lanes, adder).stall_free_cycles(groups, *counts(pairs))
    assert done.units.tolist() == [0] * len(groups)


@settings(max_examples=100, deadline=None)
@given(items, st.integers(1, 4), st.integers(1, 8), st.integers(1, 6), st.integers(1, 5))
def test_no_faster_than_all_lanes_together(pairs: Pairs, units: int, lanes: int, latency: int, flight: int) -> None:
    parameters = {"units": units, "lanes": lanes, "adder_latency_cycles": latency, "items_in_flight": flight}
    dispatched, completed = run(pairs, **parameters)
    visits = sum(n * -(-active // lanes) for n, active in pairs)
    assert completed * units >= visits
    assert 0 <= dispatched <= completed
    # a sum leaves after its item is compacted and its elements have waited for each other
    assert completed >= max((a + (n - 1) * max(-(-a // lanes), latency) for n, a in pairs if n), default=0)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 12), st.integers(1, 4))
def test_more_units_never_slow_equal_items_down(gradients: int, active: int, number: int, units: int) -> None:
    pairs = [(gradients, active)] * number
    assert run(pairs, units=units + 1)[1] <= run(pairs, units=units)[1]
