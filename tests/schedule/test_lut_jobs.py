"""Jobs of the LUT engines: they cover the work exactly, fit the memories, and share it well between the arrays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm.config import LutEngineConfig
from tlm.engines.lut_row_law import LutRowTiming
from tlm.schedule.geometry import LutWork
from tlm.schedule.lut_jobs import LutPlan, kept_tiles, plan_jobs

TIMING = LutRowTiming(k=3, lanes=2, build_latency_cycles=2, adder_latency_cycles=4, tree_registers=True)

works = st.builds(LutWork, st.integers(1, 9), st.integers(1, 60), st.sampled_from([1, 8]), st.integers(1, 4))
engines = st.builds(
    LutEngineConfig, arrays=st.integers(1, 4), rows=st.integers(1, 5), accumulator_depth=st.integers(1, 40)
)


@given(works, engines)
def test_every_row_and_position_is_covered_once_by_all_tiles(work: LutWork, engine: LutEngineConfig) -> None:
    plan = plan_jobs(work, engine, TIMING)
    covered = Counter(
        (row, position)
        for job in plan.jobs
        for row in range(job.row_first, job.row_first + job.row_count)
        for position in range(job.position_first, job.position_end)
    )
    assert set(covered.values()) == {1}
    assert len(covered) == work.rows * work.positions
    assert {job.tiles for job in plan.jobs} == {tuple(range(work.tiles))}


@given(works, engines)
def test_jobs_fit_the_array_and_come_row_block_by_row_block(work: LutWork, engine: LutEngineConfig) -> None:
    plan = plan_jobs(work, engine, TIMING)
    assert all(1 <= job.row_count <= engine.rows for job in plan.jobs)
    assert all(1 <= job.position_count <= engine.accumulator_depth for job in plan.jobs)
    order = [(job.row_block, job.position_first) for job in plan.jobs]
    assert order == sorted(order)
    assert plan.row_blocks == -(-work.rows // engine.rows)
    assert {job.row_first // engine.rows - job.row_block for job in plan.jobs} == {0}


@given(works, engines)
def test_arrays_take_the_jobs_in_turn(work: LutWork, engine: LutEngineConfig) -> None:
    plan = plan_jobs(work, engine, TIMING)
    dealt = [plan.of_array(array) for array in range(engine.arrays)]
    assert [dealt[i % engine.arrays][i // engine.arrays] for i in range(len(plan.jobs))] == list(plan.jobs)
    assert sum(map(len, dealt)) == len(plan.jobs)


def slowest_array(plan: LutPlan) -> int:
    """Cycles of the slowest array by the stall-free law."""
    streams = [
        [job.position_count for job in jobs for _ in job.tiles] for jobs in map(plan.of_array, range(plan.arrays))
    ]
    return max(TIMING.stream_cycles(positions) for positions in streams if positions)


@given(works, engines)
def test_sharing_positions_is_never_slower_than_full_blocks(work: LutWork, engine: LutEngineConfig) -> None:
    """One tile's look-ups at the end of a stream are all that the choice may be off by."""
    alone = plan_jobs(
        work, LutEngineConfig(arrays=1, rows=engine.rows, accumulator_depth=engine.accumulator_depth), TIMING
    )
    full = LutPlan(work, alone.jobs, engine.arrays)
    tolerance = max(engine.accumulator_depth, TIMING.build_cycles, TIMING.adder_latency_cycles)
    assert slowest_array(plan_jobs(work, engine, TIMING)) <= slowest_array(full) + tolerance


def test_a_single_block_is_shared_by_all_arrays() -> None:
    engine = LutEngineConfig(arrays=3, rows=4, accumulator_depth=1000)
    plan = plan_jobs(LutWork(4, 900, 1, 5), engine, TIMING)
    assert [(job.position_first, job.position_count) for job in plan.jobs] == [(0, 300), (300, 300), (600, 300)]


def test_short_tiles_are_not_shared_where_building_takes_longer() -> None:
    """Nine positions build no faster in three shares of three: the build takes eight cycles anyway."""
    plan = plan_jobs(LutWork(2, 8, 1, 5), LutEngineConfig(arrays=3, rows=4, accumulator_depth=1000), TIMING)
    assert [job.position_count for job in plan.jobs] == [8]


@pytest.mark.parametrize(
    ("zero", "kept"),
    [
        ([[0, 0, 0]], (0, 1, 2)),
        ([[1, 0, 1]], (1,)),
        ([[1, 1, 1]], (2,)),  # one tile still delivers the sum
        ([[1, 1], [0, 1], [1, 1], [1, 0]], (2, 4, 7)),  # nothing before the first spike; one tile to double the sum
        ([[1, 1], [1, 1]], (3,)),
        ([[0, 1], [1, 1]], (0, 2)),
    ],
)
def test_which_tiles_are_kept(zero: list[list[int]], kept: tuple[int, ...]) -> None:
    assert kept_tiles(np.array(zero, np.bool_)) == kept


@given(works, engines, st.randoms(use_true_random=False))
def test_each_block_keeps_its_own_tiles(work: LutWork, engine: LutEngineConfig, random) -> None:  # type: ignore[no-untyped-def]
    flags = {}

    def zero(first: int, count: int) -> np.ndarray:
        shape = (work.planes, work.tiles_per_plane)
        flags[first, count] = np.array([random.random() < 0.5 for _ in range(work.tiles)]).reshape(shape)
        return flags[first, count]

    plan = plan_jobs(work, engine, TIMING, zero)
    assert plan_jobs(work, engine, TIMING).jobs != ()
    assert len(plan.jobs) == len(plan_jobs(work, engine, TIMING).jobs)
    for job in plan.jobs:
        assert job.tiles == kept_tiles(flags[job.position_first, job.position_count])
