"""One array of a LUT engine takes the cycles of the row's law, with and without late data; only room is its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.conftest import TIMING, ArrayBench
from tlm.kernel import Simulation, State
from tlm.testing.plugin import Watch

B, AL, D = TIMING.build_cycles, TIMING.adder_latency_cycles, TIMING.output_latency_cycles
Bench = Callable[..., ArrayBench]

jobs = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 15)), min_size=1, max_size=5)


def positions_of(stream: list[tuple[int, int]]) -> list[int]:
    return [positions for tiles, positions in stream for _ in range(tiles)]


def law(stream: list[tuple[int, int]], **patterns: np.ndarray) -> list[int]:
    """Cycle after the last sum of each job, by the row's law under valid patterns."""
    emit = [tile == tiles - 1 for tiles, _ in stream for tile in range(tiles)]
    out = TIMING.transfers(positions_of(stream), emit, valid=patterns).out
    return [int(out[end - 1]) + 1 for end in np.cumsum([positions for _, positions in stream])]


def zeros(first: int, end: int) -> np.ndarray:
    """A valid pattern that is 0 from cycle `first` up to `end`."""
    return np.concatenate([np.ones(first, np.uint8), np.zeros(max(0, end - first), np.uint8)])


def test_the_numbers_of_these_tests() -> None:
    assert (B, AL, D) == (8, 4, 7)


@pytest.mark.parametrize(
    ("tiles", "positions", "cycles"),
    [(1, 5, 8 + 5 + 7), (3, 12, 8 + 2 * 12 + 12 + 7), (3, 2, 8 + 2 * 8 + 2 + 7)],
)
def test_closed_form(array_bench: Bench, tiles: int, positions: int, cycles: int) -> None:
    assert array_bench([(tiles, positions)]).run() == [cycles]


@given(jobs)
def test_a_stream_without_stalls_takes_the_cycles_of_the_law(stream: list[tuple[int, int]]) -> None:
    bench = ArrayBench(Simulation(), [stream], {})
    assert bench.run() == [TIMING.stream_cycles(positions_of(stream))]
    assert bench.array.tiles_done == sum(tiles for tiles, _ in stream)
    assert bench.array.look_up_cycles == sum(positions_of(stream))
    busy_ps = bench.account.state_ps(State.BUSY)
    assert busy_ps == bench.simulation.now_ps  # one stage or the other advances all the time


@given(st.lists(jobs, min_size=2, max_size=3))
def test_streams_follow_each_other_and_each_pays_build_and_drain(streams: list[list[tuple[int, int]]]) -> None:
    alone = [TIMING.stream_cycles(positions_of(stream)) for stream in streams]
    assert ArrayBench(Simulation(), streams, {}).run() == np.cumsum(alone).tolist()


def test_an_array_without_jobs_ends_its_stream_at_once(array_bench: Bench) -> None:
    assert array_bench([], [(1, 5)], []).run() == [0, 20, 20]


def test_results_come_when_the_last_sum_has_left_the_adder(array_bench: Bench, monitor: Watch) -> None:
    stream = [(2, 9), (1, 3), (3, 12)]
    bench = array_bench(stream)
    seen = monitor(bench.array.results, 3)
    bench.run()
    assert [job.row_block for job in seen.items] == [0, 1, 2]
    assert [time // 1000 for time in seen.times_ps] == law(stream)


@given(jobs, st.data())
def test_late_weights_shift_the_stream_as_late_loads_shift_the_row(
    stream: list[tuple[int, int]], data: st.DataObject
) -> None:
    job = data.draw(st.integers(0, len(stream) - 1))
    tile = data.draw(st.integers(0, stream[job][0] - 1))
    cycle = data.draw(st.integers(0, 120))
    loads = TIMING.transfers(positions_of(stream), np.ones(len(positions_of(stream)), bool)).load
    number = sum(tiles for tiles, _ in stream[:job]) + tile
    after_the_one_before = int(loads[number * TIMING.k - 1]) + 1 if number else 0
    bench = ArrayBench(Simulation(), [stream], {("table_data", job, tile): cycle})
    assert bench.run() == law(stream, load=zeros(after_the_one_before, cycle))[-1:]


@given(jobs, st.data())
def test_late_spikes_shift_the_stream_as_late_indices_shift_the_row(
    stream: list[tuple[int, int]], data: st.DataObject
) -> None:
    job = data.draw(st.integers(0, len(stream) - 1))
    cycle = data.draw(st.integers(0, 120))
    counts = positions_of(stream)
    indices = TIMING.transfers(counts, np.ones(len(counts), bool)).index
    first = sum(tiles * positions for tiles, positions in stream[:job])
    after_the_one_before = int(indices[first - 1]) + 1 if first else 0
    bench = ArrayBench(Simulation(), [stream], {("indices", job, 0): cycle})
    assert bench.run() == law(stream, index=zeros(after_the_one_before, cycle))[-1:]


@pytest.mark.parametrize(("room_cycle", "end"), [(0, 39), (20, 39), (21, 40), (50, 69)])
def test_the_last_tile_waits_for_room(array_bench: Bench, room_cycle: int, end: int) -> None:
    """Two tiles of 12: the second would begin at 20; it waits for room, and its 12 look-ups and drain follow."""
    assert array_bench([(2, 12)], late={("output_room", 0, 0): room_cycle}).run() == [end]


def test_the_next_table_is_built_while_a_job_waits_for_room(array_bench: Bench) -> None:
    """The second job's table is ready before the first one gets room at 100: its look-ups follow at once."""
    assert array_bench([(1, 9), (1, 5)], late={("output_room", 0, 0): 100}).run() == [100 + 9 + 5 + 7]


def test_a_stream_begins_when_it_may(array_bench: Bench) -> None:
    assert array_bench([(1, 5)], [(1, 5)], late={("begin", 1, 0): 50}).run() == [20, 70]
