"""The LUT engines' arithmetic: tables of subset sums, a balanced tree over the lanes, one accumulator a position.

One kernel serves forward (rows are output channels, operands are weights, positions are output positions) and weight
update (operands are gradients, positions are the elements of the receptive field). Order of every addition:
docs/contract.md, "Table" and "Row sum".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.formats import FloatFormat
from rtl_models.reference.rounding import Rounding, count_special, round_float, rounding
from rtl_models.reference.threads import run_parts, split
from rtl_models.reference.vectors import LEAVES, TILE, VECTOR, add_leaves, add_tile

Floats = NDArray[np.float32]
Indices = NDArray[np.uint8]
_TABLE_BYTES = 1 << 23  # tables built at a time: they should stay in the last-level cache
_ROW_BLOCK = 128  # rows summed at a time
_POSITION_BLOCK = 64  # positions served before the next tile, so that their accumulators stay in the nearest cache
_LEAST_LOOKUPS = 1 << 19  # smaller jobs are not worth a second thread


class LutTables:
    """The tables over `operands` [groups, k, M], whole tiles; entries are rounded to `value`, sums to `total`.

    Small ones are kept; large ones are built again, a few tiles at a time, by every `accumulate`. `nonfinite` and
    `subnormal` count stored entries, each entry once however often it is built.
    """

    def __init__(self, operands: Floats, lanes: int, value: FloatFormat, total: FloatFormat) -> None:
        self.nonfinite = 0
        self.subnormal = 0
        groups, k, rows = operands.shape
        self._operands = operands
        if rows % VECTOR:
            self._operands = np.zeros((groups, k, -(-rows // VECTOR) * VECTOR), np.float32)
            self._operands[:, :, :rows] = operands
        self._lanes = lanes
        self._entry_format, self._sum_format = rounding(value), rounding(total)
        self._chunk = max(lanes, _TABLE_BYTES // (rows * 4 << k) // lanes * lanes)
        self._kept = self._build(0, groups, True) if groups <= self._chunk else None
        self._counted = self._kept is not None

    def accumulate(self, indices: Indices, psum: Floats, *, double: bool = False, subtract: bool = False) -> None:
        """Add to psum [positions, M] (C order) the row sums that indices [positions, groups] select, tiles ascending.

        Indices may have a multiple of the tables' groups: after the last tile the tables are served once more.
        `double`: accumulators are doubled first (a bit plane below the most significant); `subtract`: sums are taken
        away (the sign plane of a signed input).
        """
        if double:
            scale_sums(psum, np.float32(2.0), self._sum_format)
        positions, rows = psum.shape
        groups = self._operands.shape[0]
        parts = split(positions, 1 + _LEAST_LOOKUPS // (rows * groups))
        for again in range(0, indices.shape[1], groups):
            for first, tables in self._chunks():
                shape = (again + first, 1 << self._operands.shape[1], rows, self._operands.shape[2])
                arguments = (tables, indices, psum.reshape(-1), shape, self._lanes, subtract, self._sum_format)
                run_parts(_accumulate, parts, *arguments)

    def _chunks(self) -> Iterator[tuple[int, Floats]]:
        """Yield (first group, tables) in ascending order."""
        if self._kept is not None:
            yield 0, self._kept
            return
        groups = self._operands.shape[0]
        for first in range(0, groups, self._chunk):
            yield first, self._build(first, min(first + self._chunk, groups), not self._counted)
        self._counted = True

    def _build(self, first: int, last: int, count: bool) -> Floats:
        operands = self._operands[first:last]
        groups, k, rows = operands.shape
        tables = np.empty((groups << k) * rows, np.float32)
        parts = split(groups, 1 + (_LEAST_LOOKUPS >> k) // rows)
        for nonfinite, subnormal in run_parts(_build_tables, parts, operands, tables, self._entry_format):
            self.nonfinite += nonfinite if count else 0
            self.subnormal += subnormal if count else 0
        return tables


def scale_sums(sums: Floats, factor: np.float32, sum_format: Rounding) -> None:
    """Multiply sums of any shape (C order) by a power of two in place, rounded to the sum format."""
    _scale(sums.reshape(-1), factor, sum_format)


@njit(nogil=True, cache=True)
def _scale(sums: Floats, factor: np.float32, sum_format: Rounding) -> None:
    for i in range(sums.size):
        sums[i] = round_float(np.float32(sums[i] * factor), sum_format)


@njit(nogil=True, cache=True)
def _build_tables(operands: Floats, tables: Floats, entry_format: Rounding, start: int, stop: int) -> Any:
    """Build the tables of groups start..stop; return how many entries are not finite and how many subnormal."""
    k, rows = operands.shape[1], operands.shape[2]
    size = rows << k
    for group in range(start, stop):
        table = group * size
        for m in range(rows):
            tables[table + m] = np.float32(0.0)
        for j in range(k):
            highest = table + (rows << j)
            for m in range(rows):
                tables[highest + m] = operands[group, j, m]
            for entry in range(1, 1 << j):
                rest = table + entry * rows
                _add_rows(
                    tables, np.uint64(rest), np.uint64(highest), np.uint64(highest - table + rest), rows, entry_format
                )
    return count_special(tables[start * size : stop * size], entry_format)


@njit(nogil=True, cache=True)
def _add_rows(tables: Floats, a: np.uint64, b: np.uint64, out: np.uint64, rows: int, entry_format: Rounding) -> None:
    for m in range(np.uint64(rows)):
        tables[out + m] = round_float(np.float32(tables[a + m] + tables[b + m]), entry_format)


@njit(nogil=True, cache=True)
def _accumulate(
    tables: Floats,
    indices: Indices,
    psum: Floats,
    shape: tuple[int, int, int, int],
    lanes: int,
    subtract: bool,
    sum_format: Rounding,
    start: int,
    stop: int,
) -> None:
    """Serve positions start..stop from flat tables; `shape`: their first group, entries in each, rows, padded rows."""
    first, entries, rows, padded = shape
    groups = tables.size // (entries * padded)
    leaves = max(lanes // LEAVES, 1)
    in_one_go = lanes == TILE and rows == padded and sum_format.single and not subtract
    scratch = np.empty(leaves * min(padded, _ROW_BLOCK), np.float32)
    offsets = np.empty(leaves * LEAVES, np.int64)
    for row in range(0, rows, _ROW_BLOCK):
        width = min(_ROW_BLOCK, padded - row)
        used = min(_ROW_BLOCK, rows - row)
        for block in range(start, stop, _POSITION_BLOCK):
            for tile in range(0, groups, lanes):
                base = tile * entries * padded + row
                for lane in range(lanes, offsets.size):
                    offsets[lane] = base  # entry 0: a tile of less than eight lanes adds zeros
                for position in range(block, min(block + _POSITION_BLOCK, stop)):
                    if not _look_up(indices, position, first + tile, lanes, base, entries * padded, padded, offsets):
                        continue  # psum + 0 is psum: a psum is never -0
                    at = position * rows + row
                    if in_one_go:
                        add_tile(tables, offsets, psum, at, width)
                        continue
                    for leaf in range(leaves):
                        if sum_format.single:
                            add_leaves(tables, offsets[leaf * LEAVES :], scratch, leaf * width, width)
                        else:
                            _add_leaves(tables, offsets[leaf * LEAVES :], scratch, leaf * width, width, sum_format)
                    _combine(scratch, leaves, width, sum_format)
                    _add_sum(psum, np.uint64(at), scratch, np.uint64(used), subtract, sum_format)


@njit(nogil=True, cache=True)
def _look_up(
    indices: Indices,
    position: int,
    group: int,
    lanes: int,
    base: int,
    table: int,
    entry: int,
    offsets: NDArray[np.int64],
) -> bool:
    """Write where each lane's entry starts; tables are `table` apart, entries `entry`. Return if any is not entry 0."""
    seen = np.int64(0)
    for lane in range(lanes):
        index = np.int64(indices[position, group + lane])
        seen |= index
        offsets[lane] = base + lane * table + index * entry
    return bool(seen != 0)


@njit(nogil=True, cache=True)
def _add_leaves(
    tables: Floats, offsets: NDArray[np.int64], out: Floats, at: int, width: int, sum_format: Rounding
) -> None:
    """Sum eight table rows as a balanced tree into out[at : at + width], rounding every sum."""
    a, b, c, d = np.uint64(offsets[0]), np.uint64(offsets[1]), np.uint64(offsets[2]), np.uint64(offsets[3])
    e, f, g, h = np.uint64(offsets[4]), np.uint64(offsets[5]), np.uint64(offsets[6]), np.uint64(offsets[7])
    start = np.uint64(at)
    for m in range(np.uint64(width)):
        ab = round_float(np.float32(tables[a + m] + tables[b + m]), sum_format)
        cd = round_float(np.float32(tables[c + m] + tables[d + m]), sum_format)
        ef = round_float(np.float32(tables[e + m] + tables[f + m]), sum_format)
        gh = round_float(np.float32(tables[g + m] + tables[h + m]), sum_format)
        abcd = round_float(np.float32(ab + cd), sum_format)
        efgh = round_float(np.float32(ef + gh), sum_format)
        out[start + m] = round_float(np.float32(abcd + efgh), sum_format)


@njit(nogil=True, cache=True)
def _combine(scratch: Floats, leaves: int, width: int, sum_format: Rounding) -> None:
    """Sum `leaves` partial rows in `scratch`, neighbours first; the result is the first row."""
    distance = 1
    while distance < leaves:
        for leaf in range(0, leaves, 2 * distance):
            left = np.uint64(leaf * width)
            right = np.uint64((leaf + distance) * width)
            for m in range(np.uint64(width)):
                scratch[left + m] = round_float(np.float32(scratch[left + m] + scratch[right + m]), sum_format)
        distance *= 2


@njit(nogil=True, cache=True)
def _add_sum(psum: Floats, at: np.uint64, tree: Floats, width: np.uint64, subtract: bool, sum_format: Rounding) -> None:
    """Add the tree's row to psum[at : at + width], or take it away."""
    if subtract:
        for m in range(width):
            psum[at + m] = round_float(np.float32(psum[at + m] - tree[m]), sum_format)
    elif sum_format.single:
        for m in range(width):
            psum[at + m] = psum[at + m] + tree[m]
    else:
        for m in range(width):
            psum[at + m] = round_float(np.float32(psum[at + m] + tree[m]), sum_format)
