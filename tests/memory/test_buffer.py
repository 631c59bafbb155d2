"""Ports of a buffer: nobody waits while they suffice, all are late alike where they do not, whatever came first."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm.kernel import Clock, Simulation
from tlm.kernel.account import State
from tlm.kernel.process import Steps
from tlm.memory.buffer import BufferPorts, Transfer

Flow = tuple[int, int, int]  # start in ps, bytes, duration in ps

CLOCK = Clock(1000)


def run(flows: list[Flow], width: int, kinds: str = "read") -> tuple[list[int], Simulation, BufferPorts, list[dict]]:  # type: ignore[type-arg]
    """Start one process for each flow, in the order of the list; return when each one's bytes were through."""
    simulation = Simulation()
    ports = BufferPorts("partial_sums", simulation, CLOCK, width)
    ends, books = [0] * len(flows), [{}] * len(flows)  # type: ignore[var-annotated]
    for number, flow in enumerate(flows):

        def body(process, number: int = number, flow: Flow = flow) -> Steps:  # type: ignore[no-untyped-def]
            start_ps, size_bytes, duration_ps = flow
            yield from process.work(start_ps)
            transfer = getattr(Transfer(duration_ps), kinds)(ports, size_bytes)
            yield from process.work(duration_ps)
            yield from transfer.finish(process)
            ends[number] = simulation.now_ps
            books[number] = process.account.totals_ps()

        simulation.process(body, f"tile{number}")
    simulation.run()
    return ends, simulation, ports, books


def word_by_word(flows: list[Flow], width: int) -> list[Fraction]:
    """The same in exact fractions, from one change of the demand to the next."""
    left = [Fraction(duration) for _, _, duration in flows]
    ends: list[Fraction | None] = [None] * len(flows)
    now = Fraction(0)
    while None in ends:
        active = [i for i, (start, _, _) in enumerate(flows) if start <= now and ends[i] is None]
        demand = sum(Fraction(flows[i][1] * 1000, flows[i][2]) for i in active)
        speed = min(Fraction(1), width / demand) if demand else Fraction(1)
        events = [Fraction(start) for start, _, _ in flows if start > now] + [now + left[i] / speed for i in active]
        after = min(events)
        for i in active:
            left[i] -= (after - now) * speed
            if left[i] == 0:
                ends[i] = after
        now = after
    return [end for end in ends if end is not None]


class TestRate:
    def test_a_tile_within_the_ports_takes_its_own_time_and_no_event(self) -> None:
        ends, _, ports, books = run([(0, 4000, 1_000_000)], 4)
        assert ends == [1_000_000]
        assert books == [{(State.BUSY, ""): 1_000_000}]
        assert (ports.moved_bytes, ports.peak_demand_bytes_per_cycle) == (4000, 4)

    @pytest.mark.parametrize(("size", "end_ps"), [(4000, 1_000_000), (4004, 1_001_000), (8000, 2_000_000)])
    def test_a_tile_beyond_the_ports_takes_the_time_of_its_bytes(self, size: int, end_ps: int) -> None:
        assert run([(0, size, 1_000_000)], 4)[0][0] == pytest.approx(end_ps, abs=1)

    def test_two_that_fit_together_do_not_meet(self) -> None:
        assert run([(0, 2000, 1_000_000), (500_000, 1000, 500_000)], 4)[0] == [1_000_000, 1_000_000]

    def test_two_that_do_not_fit_are_late_by_the_same_factor(self) -> None:
        """Six bytes a cycle of four: until both are through, everything takes half as long again."""
        assert run([(0, 4000, 1_000_000), (0, 200, 100_000)], 4)[0] == [1_050_000, 150_000]

    def test_a_small_tile_does_not_wait_behind_a_large_one(self) -> None:
        large, small = run([(0, 10_000, 10_000_000), (1, 10, 10_000)], 2)[0]
        assert (large, small) == (10_000_000, 10_001)

    @pytest.mark.parametrize(("kind", "state"), [("read", State.STARVED), ("write", State.BLOCKED)])
    def test_the_wait_is_booked_for_the_port(self, kind: str, state: State) -> None:
        _, _, _, books = run([(0, 8, 1000)], 4, kind)
        assert books == [{(State.BUSY, ""): 1000, (state, "partial sums port"): 1000}]

    def test_nothing_moves_nothing(self) -> None:
        ends, _, ports, _ = run([(5, 0, 1000)], 1)
        assert (ends, ports.moved_bytes, ports.peak_demand_bytes_per_cycle) == ([1005], 0, 0)

    def test_a_transfer_is_over_when_its_last_port_is(self, simulation: Simulation) -> None:
        narrow, wide = (BufferPorts(name, simulation, CLOCK, width) for name, width in (("a", 1), ("b", 100)))

        def body(process) -> Steps:  # type: ignore[no-untyped-def]
            transfer = Transfer(1000).read(wide, 50).write(narrow, 3)
            yield from process.work(1000)
            yield from transfer.finish(process)

        simulation.process(body)
        assert simulation.run() == 3000


flows_ = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=6)


class TestSharing:
    @settings(max_examples=150)
    @given(flows_, st.integers(1, 12))
    def test_the_times_are_those_of_exact_shares(self, cycles: list[Flow], width: int) -> None:
        """Up to the rounding of every flow's end to a picosecond, which those under way feel: far below a cycle."""
        flows = [(start * 1000, size, duration * 1000) for start, size, duration in cycles]
        expected = word_by_word(flows, width)
        for end_ps, exact in zip(run(flows, width)[0], expected, strict=True):
            assert -1 < end_ps - exact < 1 + 20 * len(flows)

    @settings(max_examples=50)
    @given(flows_, st.integers(1, 12))
    def test_ports_that_suffice_change_nothing(self, cycles: list[Flow], spare: int) -> None:
        flows = [(start * 1000, size, duration * 1000) for start, size, duration in cycles]
        width = sum(-(-size // duration) for _, size, duration in cycles) + spare
        assert run(flows, width)[0] == [start + duration for start, _, duration in flows]

    def test_the_order_of_creation_does_not_matter(self) -> None:
        flows = [(0, 40, 5000), (0, 9, 3000), (3000, 50, 2000), (3000, 1, 9000), (4000, 7, 1000)]
        outcomes = []
        for order in permutations(range(len(flows))):
            ends = run([flows[i] for i in order], 3)[0]
            outcomes.append([ends[order.index(i)] for i in range(len(flows))])
        assert all(outcome == outcomes[0] for outcome in outcomes)
