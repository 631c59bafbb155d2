"""The LUT row as a function: the exact bits that `rtl_models.lut_row` must send, and its stimulus.

The order of every addition is the hardware's: entry = rest + highest set bit; balanced tree over the lanes, neighbours
first; then the position's partial sum plus the tree, tiles ascending. A NaN is canonical wherever it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import Bits, FloatFormat, decode, encode
from rtl_models.lut_row import LutRowGeometry
from rtl_models.reference.rounding import Rounding, round_float, rounding
from rtl_models.reference.words import words_of_bytes, words_of_fields
from rtl_models.units import Pattern, Response, Stimulus, Words

_NOTHING: dict[str, Pattern] = {}


@dataclass(frozen=True)
class RowTask:
    """Tiles that run back to back through one row, as one stream.

    A beat is one position of one tile, tile by tile; `beats` = sum of `positions`. Raises InputError where shapes
    disagree, a tile has no position, or a tile goes on from a partial sum that no tile has started.
    """

    weights: Bits
    """[tiles, lanes, k]: patterns of the value format."""
    indices: NDArray[np.uint8]
    """[beats, lanes]: bit j selects weight j."""
    positions: NDArray[np.int64]
    """[tiles]: positions of each tile."""
    start: NDArray[np.bool_]
    """[tiles]: partial sums start at `init`."""
    emit: NDArray[np.bool_]
    """[tiles]: the new partial sums are sent."""
    double: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """[tiles], or empty for none: partial sums are doubled before the addition."""
    subtract: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """[tiles], or empty for none: the tree's sum is subtracted."""
    init: Bits | None = None
    """[beats]: patterns of the sum format, read in tiles that start; None is +0."""

    def __post_init__(self) -> None:
        tiles, beats = len(self.positions), int(np.sum(self.positions))
        for name in ("double", "subtract"):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, np.zeros(tiles, np.bool_))
        shapes: dict[str, tuple[int, ...]] = {
            "weights": (tiles, *self.weights.shape[1:]),
            "indices": (beats, *self.weights.shape[1:2]),
            "start": (tiles,),
            "emit": (tiles,),
            "double": (tiles,),
            "subtract": (tiles,),
        }
        if self.init is not None:
            shapes["init"] = (beats,)
        for name, shape in shapes.items():
            got = getattr(self, name).shape
            if got != shape:
                raise InputError(f"shape of {name}", "row task", list(got), str(list(shape)))
        if tiles == 0 or np.min(self.positions) < 1:
            raise InputError(
                "positions of a tile", "row task", self.positions.tolist(), "1 or more, of 1 or more tiles"
            )
        started = np.maximum.accumulate(np.where(self.start, self.positions, 0))
        unknown = np.flatnonzero(self.positions > started)
        if len(unknown):
            raise InputError("tile goes on from a partial sum that was not started", "row task", int(unknown[0]), "")


def lut_row(task: RowTask, value_format: FloatFormat, sum_format: FloatFormat) -> Bits:
    """Return the sums that the row sends, in order: bit patterns of `sum_format`, positions of emitting tiles."""
    positions = np.ascontiguousarray(task.positions, np.int64)
    beats = len(task.indices)
    init = np.zeros(beats, np.float32) if task.init is None else decode(task.init, sum_format)
    sums = np.empty(int(positions[task.emit].sum()), np.float32)
    _row(
        np.ascontiguousarray(decode(task.weights, value_format)),
        np.ascontiguousarray(task.indices, np.uint8),
        positions,
        init,
        np.stack([task.start, task.double, task.subtract, task.emit], axis=1),
        rounding(value_format),
        rounding(sum_format),
        sums,
    )
    return encode(sums, sum_format)


@njit(nogil=True, cache=True)
def _row(
    weights: NDArray[np.float32],
    indices: NDArray[np.uint8],
    positions: NDArray[np.int64],
    init: NDArray[np.float32],
    flags: NDArray[np.bool_],
    value: Rounding,
    total: Rounding,
    sums: NDArray[np.float32],
) -> None:
    """Fill `sums`; flags [tiles, 4] are start, double, subtract, emit."""
    tiles, lanes, k = weights.shape
    table = np.zeros((lanes, 1 << k), np.float32)
    psum = np.zeros(positions.max(), np.float32)
    leaves = np.zeros(lanes, np.float32)
    beat = 0
    sent = 0
    for tile in range(tiles):
        start, double, subtract, emit = flags[tile]
        for lane in range(lanes):
            for j in range(k):
                highest = 1 << j
                table[lane, highest] = round_float(weights[tile, lane, j], value)
                for rest in range(1, highest):
                    table[lane, highest + rest] = round_float(table[lane, rest] + table[lane, highest], value)
        for position in range(positions[tile]):
            for lane in range(lanes):
                leaves[lane] = table[lane, indices[beat, lane]]
            width = lanes
            while width > 1:
                width //= 2
                for i in range(width):
                    leaves[i] = round_float(leaves[2 * i] + leaves[2 * i + 1], total)
            operand = psum[position]
            if start:
                operand = init[beat]
            elif double:
                operand = round_float(operand + operand, total)
            new = operand - leaves[0] if subtract else operand + leaves[0]
            psum[position] = round_float(new, total)
            if emit:
                sums[sent] = psum[position]
                sent += 1
            beat += 1


def row_stimulus(
    geometry: LutRowGeometry,
    task: RowTask,
    valid: dict[str, Pattern] = _NOTHING,
    ready: dict[str, Pattern] = _NOTHING,
) -> Stimulus:
    """Return `task` as beats of the row's streams, with the patterns of its sources (load, index) and sink (out).

    Raises InputError where the task does not fit the geometry.
    """
    tiles, lanes, k = task.weights.shape
    if (lanes, k) != (geometry.lanes, geometry.k):
        raise InputError("lanes, k of the task", "row task", [lanes, k], str([geometry.lanes, geometry.k]))
    if task.positions.max() > geometry.depth:
        raise InputError(
            "positions of a tile", "row task", int(task.positions.max()), f"1..{geometry.depth} (accumulator depth)"
        )
    if task.indices.size and task.indices.max() >> k:
        raise InputError("index", "row task", int(task.indices.max()), f"0..{(1 << k) - 1}")
    beats = len(task.indices)
    weights = task.weights.astype(geometry.value_format.bits_dtype)
    loads = np.ascontiguousarray(weights.transpose(0, 2, 1)).reshape(tiles * k, lanes)
    init = np.zeros(beats, np.uint64) if task.init is None else task.init.astype(np.uint64)
    last = np.zeros(beats, np.uint64)
    last[np.cumsum(task.positions) - 1] = 1

    def per_beat(flag: NDArray[np.bool_]) -> Words:
        return np.repeat(flag.astype(np.uint64), task.positions)[:, None]

    index: dict[str, Words] = {
        "index": words_of_fields(task.indices.astype(np.uint8), k),
        "init": init[:, None],
        "start": per_beat(task.start),
        "double": per_beat(task.double),
        "subtract": per_beat(task.subtract),
        "emit": per_beat(task.emit),
        "last": last[:, None],
    }
    return Stimulus(
        beats={"load": {"data": words_of_bytes(loads.view(np.uint8))}, "index": index},
        outputs={"out": int(task.positions[task.emit].sum())},
        valid=valid,
        ready=ready,
    )


def row_outputs(geometry: LutRowGeometry, response: Response) -> Bits:
    """Return the sums of a response as bit patterns of the sum format, as `lut_row` returns them."""
    bits: Bits = response.payloads["out"]["data"][:, 0].astype(geometry.sum_format.bits_dtype)
    return bits
