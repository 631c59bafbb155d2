"""Cuts the work of a LUT engine into jobs and deals them to its arrays.

A job is one row block on one position block: all its tiles run back to back while the sums stay in the accumulator
memories. Arrays share output rows or positions, never groups or points, so no bit depends on how jobs are dealt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlm.config import LutEngineConfig
from tlm.engines.lut_row_law import LutRowTiming
from tlm.schedule.geometry import LutWork

ZeroTiles = Callable[[int, int], NDArray[np.bool_]]
"""(first position, positions) -> which tiles [planes, tiles_per_plane] have nothing but zero indices."""


@dataclass(frozen=True)
class LutJob:
    """One row block on one position block; `tiles` are the tiles worked on, numbered plane by plane."""

    row_first: int
    row_count: int
    position_first: int
    position_count: int
    tiles: tuple[int, ...]
    row_block: int

    @property
    def position_end(self) -> int:
        """One past the last position."""
        return self.position_first + self.position_count


@dataclass(frozen=True)
class LutPlan:
    """The jobs of one layer, engine and micro-batch, in order; job i runs on array i modulo `arrays`."""

    work: LutWork
    jobs: tuple[LutJob, ...]
    arrays: int

    def of_array(self, array: int) -> tuple[LutJob, ...]:
        """The uninterrupted stream of jobs of one array."""
        return self.jobs[array :: self.arrays]

    @property
    def row_blocks(self) -> int:
        """Number of row blocks."""
        return self.jobs[-1].row_block + 1


def kept_tiles(zero: NDArray[np.bool_]) -> tuple[int, ...]:
    """Tiles that must run when all-zero tiles are skipped; `zero` is [planes, tiles_per_plane].

    Planes before the first spike leave the sum at +0 and go altogether; a later plane without a spike keeps its first
    tile, because the sum is doubled there; where nothing is left one tile still delivers the sum.
    """
    tiles_per_plane = zero.shape[1]
    kept: list[int] = []
    for plane, empty in enumerate(zero):
        tiles = np.flatnonzero(~empty)
        if not len(tiles) and kept:
            tiles = np.zeros(1, np.int64)
        kept.extend(int(plane * tiles_per_plane + tile) for tile in tiles)
    return tuple(kept) or (zero.size - 1,)


def plan_jobs(
    work: LutWork, engine: LutEngineConfig, timing: LutRowTiming, zero_tiles: ZeroTiles | None = None
) -> LutPlan:
    """Cut `work` into jobs; positions are shared by as many arrays as makes the slowest array fastest.

    Positions are cut into blocks of at most `accumulator_depth`, the last one shorter, or into equal shares where
    that is quicker. The choice uses the stall-free law without skipped tiles, so it does not depend on data.
    """
    row_blocks = -(-work.rows // engine.rows)
    shares = range(1, engine.arrays + 1)
    blocks = min(
        (_cut(work.positions, min(engine.accumulator_depth, -(-work.positions // share))) for share in shares),
        key=lambda candidate: _slowest_array_cycles(candidate, row_blocks, work.tiles, engine.arrays, timing),
    )
    everything = tuple(range(work.tiles))
    kept = [everything if zero_tiles is None else kept_tiles(zero_tiles(*block)) for block in blocks]
    jobs = tuple(
        LutJob(
            row_first=row_block * engine.rows,
            row_count=min(engine.rows, work.rows - row_block * engine.rows),
            position_first=first,
            position_count=count,
            tiles=kept[number],
            row_block=row_block,
        )
        for row_block in range(row_blocks)
        for number, (first, count) in enumerate(blocks)
    )
    return LutPlan(work, jobs, engine.arrays)


def _cut(positions: int, block: int) -> list[tuple[int, int]]:
    return [(first, min(block, positions - first)) for first in range(0, positions, block)]


def _slowest_array_cycles(
    blocks: list[tuple[int, int]], row_blocks: int, tiles: int, arrays: int, timing: LutRowTiming
) -> int:
    floor = max(timing.build_cycles, timing.adder_latency_cycles)
    cycles = [tiles * max(timing.look_up_cycles(count), floor) for _ in range(row_blocks) for _, count in blocks]
    return max(sum(cycles[array::arrays]) for array in range(arrays))
