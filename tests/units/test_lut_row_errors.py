"""What a user can get wrong about a LUT row, in the words he is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16
from rtl_models.lut_row import LutRowGeometry
from rtl_models.reference.row import RowTask, row_stimulus
from tlm.engines.lut_row_law import LutRowTiming

GOOD = RowTask(
    weights=np.zeros((2, 2, 3), np.uint16),
    indices=np.zeros((5, 2), np.uint8),
    positions=np.array([3, 2]),
    start=np.array([True, False]),
    emit=np.array([False, True]),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 9}, r"^LUT row: table of 2\*\*k entries is out of range, k, got 9, allowed: 1..8$"),
        ({"k": 0}, r"^LUT row: table of 2\*\*k entries is out of range, k, got 0, allowed: 1..8$"),
        ({"lanes": 3}, r"^LUT row: number of lanes, got 3, allowed: a power of two$"),
        ({"lanes": 0}, r"^LUT row: number of lanes, got 0, allowed: a power of two$"),
        (
            {"value_format": BFLOAT16, "sum_format": BINARY16},
            r"^LUT row: sum format cannot hold bfloat16, got 'binary16', allowed: a format at least as wide$",
        ),
        ({"depth": 0}, r"^LUT row: accumulator depth, got 0, allowed: 1 or more positions$"),
        ({"build_latency_cycles": 0}, r"^LUT row: build_latency_cycles, got 0, allowed: 1..64$"),
        ({"adder_latency_cycles": 65}, r"^LUT row: adder_latency_cycles, got 65, allowed: 1..64$"),
    ],
)
def test_geometries_that_cannot_be_built(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LutRowGeometry(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": np.zeros((4, 2), np.uint8)}, r"^row task: shape of indices, got \[4, 2\], allowed: \[5, 2\]$"),
        ({"start": np.zeros(3, np.bool_)}, r"^row task: shape of start, got \[3\], allowed: \[2\]$"),
        ({"init": np.zeros(4, np.uint32)}, r"^row task: shape of init, got \[4\], allowed: \[5\]$"),
        ({"double": np.zeros(1, np.bool_)}, r"^row task: shape of double, got \[1\], allowed: \[2\]$"),
        (
            {"positions": np.array([5, 0])},
            r"^row task: positions of a tile, got \[5, 0\], allowed: 1 or more, of 1 or more tiles$",
        ),
        (
            {"start": np.array([False, True])},
            r"^row task: tile goes on from a partial sum that was not started, got 0$",
        ),
        (
            {"positions": np.array([2, 3])},
            r"^row task: tile goes on from a partial sum that was not started, got 1$",
        ),
    ],
)
def test_tasks_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(GOOD, **change)


@pytest.mark.parametrize(
    ("geometry", "task", "message"),
    [
        (
            LutRowGeometry(k=2, lanes=2),
            GOOD,
            r"^row task: lanes, k of the task, got \[2, 3\], allowed: \[2, 2\]$",
        ),
        (
            LutRowGeometry(k=3, lanes=2, depth=2),
            GOOD,
            r"^row task: positions of a tile, got 3, allowed: 1..2 \(accumulator depth\)$",
        ),
        (
            LutRowGeometry(k=3, lanes=2),
            replace(GOOD, indices=np.full((5, 2), 8, np.uint8)),
            r"^row task: index, got 8, allowed: 0..7$",
        ),
    ],
)
def test_tasks_that_do_not_fit_the_row(geometry: LutRowGeometry, task: RowTask, message: str) -> None:
    with pytest.raises(InputError, match=message):
        row_stimulus(geometry, task)


def test_the_law_refuses_impossible_tiles() -> None:
    law = LutRowTiming(k=2, lanes=2)
    message = r"^LUT row law: positions of a tile, got \[3, 0\], allowed: 1 or more, of 1 or more tiles$"
    with pytest.raises(InputError, match=message):
        law.stream_cycles([3, 0])
    with pytest.raises(InputError, match=r"^LUT row law: positions of a tile, got \[0, 4\]"):
        law.stall_free_cycles(0, 4)
    with pytest.raises(InputError, match=r"^LUT row law: shape of emit, got \[1\], allowed: \[2\]$"):
        law.transfers([3, 1], [True])
