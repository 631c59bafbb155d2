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

Floats = NDArray[np.float32]
Indices = NDArray[np.uint8]
_TABLE_BYTES = 1 << 23  # tables built at a time: they should stay in the last-level cache
_ROW_BLOCK = 128  # rows summed at a time
_POSITION_BLOCK = 64  # positions served before the next tile, so that their accumulators stay in the nearest cache
_LEAVES = 8  # table rows added in one vectorised loop: more would need too many checks for overlap
_LEAST_LOOKUPS = 1 << 19  # smaller jobs are not worth a second thread


class LutTables:
    """The tables over `operands` [groups, k, M], whole tiles; entries are rounded to `value`, sums to `total`.

    Small ones are kept; large ones are built again, a few tiles at a time, by every `accumulate`. `nonfinite` and
    `subnormal` count stored entries, each entry once however often it is built.
    """

    def __init__(self, operands: Floats, lanes: int, value: FloatFormat, total: FloatFormat) -> None:
        self.nonfinite = 0
        self.subnormal = 0
        self._operands = operands
        self._lanes = lanes
        self._entry_format, self._sum_format = rounding(value), rounding(total)
        groups, k, rows = operands.shape
        self._chunk = max(lanes, _TABLE_BYTES // (rows * 4 << k) // lanes * lanes)
        self._kept = self._build(0, groups, True) if groups <= self._chunk else None
        self._counted = self._kept is not None

    def accumulate(self, indices: Indices, psum: Floats, *, double: bool = False, subtract: bool = False) -> None:
        """Add to psum [positions, M] the row sums that indices [positions, groups] select, tiles ascending.

        `double`: accumulators are doubled first (a bit plane below the most significant); `subtract`: sums are taken
        away (the sign plane of a signed input).
        """
        if double:
            scale_sums(psum, np.float32(2.0), self._sum_format)
        positions, rows = psum.shape
        least = 1 + _LEAST_LOOKUPS // (rows * indices.shape[1])
        for first, tables in self._chunks():
            parts = split(positions, least)
            arguments = (tables, indices, psum, first, self._lanes, subtract, self._sum_format)
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
        tables = np.empty((groups, 1 << k, rows), np.float32)
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
    k = operands.shape[1]
    for group in range(start, stop):
        tables[group, 0] = np.float32(0.0)
        for j in range(k):
            highest = 1 << j
            tables[group, highest] = operands[group, j]
            for entry in range(highest + 1, highest << 1):
                _add_rows(tables[group, entry - highest], tables[group, highest], tables[group, entry], entry_format)
    return count_special(tables[start:stop].reshape(-1), entry_format)


@njit(nogil=True, cache=True)
def _add_rows(a: Floats, b: Floats, out: Floats, entry_format: Rounding) -> None:
    for m in range(out.size):
        out[m] = round_float(np.float32(a[m] + b[m]), entry_format)


@njit(nogil=True, cache=True)
def _accumulate(
    tables: Floats,
    indices: Indices,
    psum: Floats,
    first: int,
    lanes: int,
    subtract: bool,
    sum_format: Rounding,
    start: int,
    stop: int,
) -> None:
    """Serve positions start..stop from the tables of groups first, first + 1, ..."""
    groups, entries, rows = tables.shape
    flat_tables, flat_psum = tables.reshape(-1), psum.reshape(-1)
    leaves = max(lanes // _LEAVES, 1)
    scratch = np.zeros(leaves * min(rows, _ROW_BLOCK), np.float32)
    offsets = np.zeros(_LEAVES, np.uint64)
    for row in range(0, rows, _ROW_BLOCK):
        width = min(_ROW_BLOCK, rows - row)
        for block in range(start, stop, _POSITION_BLOCK):
            for tile in range(0, groups, lanes):
                for position in range(block, min(block + _POSITION_BLOCK, stop)):
                    selected = _any(indices, position, first + tile, lanes)
                    if not selected:  # psum + 0 is psum: a psum is never -0
                        continue
                    for leaf in range(leaves):
                        for j in range(_LEAVES):
                            lane = leaf * _LEAVES + j
                            entry, group = np.int64(0), tile
                            if lane < lanes:  # a tile of less than eight lanes adds entries 0
                                group = tile + lane
                                entry = np.int64(indices[position, first + group])
                            offsets[j] = np.uint64((group * entries + entry) * rows + row)
                        _add_leaves(
                            flat_tables, offsets, scratch, np.uint64(leaf * width), np.uint64(width), sum_format
                        )
                    _combine(scratch, leaves, width, sum_format)
                    at = np.uint64(position * rows + row)
                    _add_sum(flat_psum, at, scratch, np.uint64(width), subtract, sum_format)


@njit(nogil=True, cache=True)
def _any(indices: Indices, position: int, group: int, lanes: int) -> bool:
    """Whether any index of the tile is not zero."""
    seen = np.uint8(0)
    for lane in range(lanes):
        seen |= indices[position, group + lane]
    return bool(seen != 0)


@njit(nogil=True, cache=True)
def _add_leaves(
    tables: Floats, offsets: NDArray[np.uint64], out: Floats, at: np.uint64, width: np.uint64, sum_format: Rounding
) -> None:
    """Sum eight table rows as a balanced tree into out[at : at + width]."""
    a, b, c, d, e, f, g, h = (
        offsets[0], offsets[1], offsets[2], offsets[3], offsets[4], offsets[5], offsets[6], offsets[7],
    )  # fmt: skip
    if sum_format.single:
        for m in range(width):
            out[at + m] = ((tables[a + m] + tables[b + m]) + (tables[c + m] + tables[d + m])) + (
                (tables[e + m] + tables[f + m]) + (tables[g + m] + tables[h + m])
            )
        return
    for m in range(width):
        ab = round_float(np.float32(tables[a + m] + tables[b + m]), sum_format)
        cd = round_float(np.float32(tables[c + m] + tables[d + m]), sum_format)
        ef = round_float(np.float32(tables[e + m] + tables[f + m]), sum_format)
        gh = round_float(np.float32(tables[g + m] + tables[h + m]), sum_format)
        abcd = round_float(np.float32(ab + cd), sum_format)
        efgh = round_float(np.float32(ef + gh), sum_format)
        out[at + m] = round_float(np.float32(abcd + efgh), sum_format)


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
