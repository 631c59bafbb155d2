"""Watermarks and hand-overs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm.kernel import Deadlock, LevelError, Rendezvous, Simulation, State, Watermark


def test_waiters_wake_at_their_level_and_not_before() -> None:
    simulation = Simulation()
    mark = Watermark("tiles", simulation)
    woken = []

    def waiter(level):
        def body(process):
            yield from mark.wait_for(level)
            woken.append((level, simulation.now_ps))

        return body

    def worker(process):
        for level in (1, 2, 2, 5):
            yield from process.work(10)
            mark.advance(level)

    for level in (5, 3, 0, 2):
        simulation.process(waiter(level), f"waiter{level}")
    simulation.process(worker)
    simulation.run()
    assert woken == [(0, 0), (2, 20), (3, 40), (5, 40)]


def test_a_watermark_cannot_fall() -> None:
    mark = Watermark("tiles", Simulation(), 3)
    mark.advance(3)
    with pytest.raises(LevelError, match=r"^tiles: a watermark cannot fall, got 2, allowed: at least 3"):
        mark.advance(2)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 20), max_size=12), st.lists(st.integers(0, 4), min_size=1, max_size=10))
def test_wake_times_from_first_principles(levels, steps) -> None:
    simulation = Simulation()
    mark = Watermark("m", simulation)
    woken = {}

    def waiter(index, level):
        def body(process):
            yield from mark.wait_for(level)
            woken[index] = simulation.now_ps

        return body

    def worker(process):
        for step in steps:
            yield from process.work(7)
            mark.advance(mark.level + step)

    for index, level in enumerate(levels):
        simulation.process(waiter(index, level), f"w{index}", daemon=True)
    simulation.process(worker)
    simulation.run()
    reached = {0: 0}
    for index, step in enumerate(steps):
        for level in range(max(reached) + 1, max(reached) + step + 1):
            reached[level] = 7 * (index + 1)
    assert woken == {i: reached[level] for i, level in enumerate(levels) if level in reached}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15), st.booleans())
def test_both_sides_of_a_rendezvous_wait_for_each_other(pauses, reader_first) -> None:
    simulation = Simulation()
    meeting = Rendezvous("m", simulation)
    put_ps, got = [], []

    def writer(process):
        for item, (pause_ps, _) in enumerate(pauses):
            yield from process.work(pause_ps)
            yield from meeting.put(item)
            put_ps.append(simulation.now_ps)

    def reader(process):
        for _, pause_ps in pauses:
            yield from process.work(pause_ps)
            item = yield from meeting.get()
            got.append((item, simulation.now_ps))

    bodies = (reader, writer) if reader_first else (writer, reader)
    first, second = (simulation.process(body) for body in bodies)
    simulation.run()
    expected, now_ps = [], 0
    for item, (left_ps, right_ps) in enumerate(pauses):
        now_ps += max(left_ps, right_ps)
        expected.append((item, now_ps))
    assert got == expected
    assert put_ps == [when for _, when in expected]
    assert meeting.put_count == len(pauses)
    writing = second if reader_first else first
    assert writing.account.state_ps(State.BLOCKED) == sum(max(0, r - l) for l, r in pauses)  # noqa: E741


def test_deadlock_names_the_rendezvous() -> None:
    simulation = Simulation()
    meeting = Rendezvous("m", simulation)

    def writer(process):
        yield from meeting.put(1)

    simulation.process(writer)
    with pytest.raises(Deadlock, match=r"writer waits for put on m \(capacity 0\)$"):
        simulation.run()
