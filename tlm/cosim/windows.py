"""Short windows of a row stream for the slow MyHDL simulation: a few positions of a few consecutive tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import Bits, FloatFormat, decode, encode
from rtl_models.reference.row import RowTask, lut_row

LONGEST_WINDOW = 6  # positions
MOST_TILES = 3


def cut_window(
    task: RowTask, value: FloatFormat, total: FloatFormat, rng: np.random.Generator, at_plane: bool = False
) -> RowTask:
    """Cut a random window out of `task`, whose tiles all have the same positions.

    The partial sums before the window are computed by the reference and enter as `init`. Half of the positions are
    those with the most non-zero indices. `at_plane` puts a tile that doubles the sums in the middle, if there is one.
    """
    tiles = len(task.positions)
    count = min(tiles, MOST_TILES)
    first = int(rng.integers(tiles - count + 1))
    doubling = np.flatnonzero(task.double)
    if at_plane and len(doubling):
        first = int(np.clip(rng.choice(doubling) - 1, 0, tiles - count))
    return window(task, value, total, first, count, _choose_positions(task, first, count, rng))


def window(
    task: RowTask, value: FloatFormat, total: FloatFormat, first: int, count: int, positions: NDArray[np.int64]
) -> RowTask:
    """Cut `count` tiles from `first` on, at these `positions` only, out of `task`; the last tile sends the sums."""
    tiles = slice(first, first + count)
    length = int(task.positions[0])
    indices = task.indices.reshape(len(task.positions), length, -1)[:, positions]
    init = np.zeros((count, len(positions)), total.bits_dtype)
    init[0] = _sums_before(task, value, total, first, positions)
    number = np.arange(count)
    return RowTask(
        weights=task.weights[tiles],
        indices=indices[tiles].reshape(count * len(positions), -1),
        positions=np.full(count, len(positions), np.int64),
        start=number == 0,
        emit=number == count - 1,
        double=task.double[tiles] & (number > 0),
        subtract=task.subtract[tiles],
        init=init.reshape(-1),
    )


def _sums_before(task: RowTask, value: FloatFormat, total: FloatFormat, first: int, positions: np.ndarray) -> Bits:
    """Partial sums that tile `first` goes on from, already doubled where it doubles them."""
    length = int(task.positions[0])
    if first == 0:
        init = np.zeros(length, total.bits_dtype) if task.init is None else task.init[:length]
        starting: Bits = init[positions]
        return starting
    head = slice(0, first)
    beats = slice(0, first * length)
    before = replace(
        task,
        weights=task.weights[head],
        indices=task.indices[beats],
        positions=task.positions[head],
        start=task.start[head],
        emit=np.arange(first) == first - 1,
        double=task.double[head],
        subtract=task.subtract[head],
        init=None if task.init is None else task.init[beats],
    )
    sums: Bits = lut_row(before, value, total)[positions]
    if task.double[first]:
        return encode(decode(sums, total) * np.float32(2.0), total)
    return sums


def _choose_positions(task: RowTask, first: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pick 1 to `LONGEST_WINDOW` positions, ascending: half of them those with the most non-zero indices."""
    length = int(task.positions[0])
    wanted = min(length, int(rng.integers(1, LONGEST_WINDOW + 1)))
    tiles = task.indices.reshape(len(task.positions), length, -1)[first : first + count]
    filled = np.count_nonzero(tiles, axis=(0, 2))
    busiest = np.argsort(-filled, kind="stable")[: (wanted + 1) // 2]
    others = np.setdiff1d(np.arange(length), busiest)
    rest = rng.choice(others, size=min(wanted - len(busiest), len(others)), replace=False)
    return np.sort(np.concatenate([busiest, rest])).astype(np.int64)
