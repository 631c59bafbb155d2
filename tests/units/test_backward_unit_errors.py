"""What a user can get wrong about a backward unit, in the words he is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtl_models.backward_unit import BackwardUnitGeometry
from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16
from rtl_models.reference.backward_items import BackwardTask, backward_stimulus
from tlm.engines.backward_law import BackwardUnitTiming

GOOD = BackwardTask(
    masks=np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1]], np.uint8),
    group_items=np.array([2, 1]),
    counts=np.array([2, 0, 1]),
    values=np.zeros(3, np.uint16),
    rows=np.array([0, 1, 1]),
    weights=np.zeros((2, 3), np.uint16),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_tile": 0}, r"^backward unit: channel tile, got 0, allowed: 1..1024$"),
        ({"lanes": 65}, r"^backward unit: number of lanes, got 65, allowed: 1..64 \(channel tile\)$"),
        ({"lanes": 0}, r"^backward unit: number of lanes, got 0, allowed: 1..64 \(channel tile\)$"),
        ({"items_in_flight": 65}, r"^backward unit: items in flight, got 65, allowed: 1..64$"),
        ({"adder_latency_cycles": 0}, r"^backward unit: adder_latency_cycles, got 0, allowed: 1..64$"),
        (
            {"value_format": BFLOAT16, "sum_format": BINARY16},
            r"^backward unit: sum format cannot hold bfloat16, got 'binary16', allowed: a format at least as wide$",
        ),
    ],
)
def test_geometries_that_cannot_be_built(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BackwardUnitGeometry(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": GOOD.masks[:, :2]}, r"^backward task: shape of masks, got \[3, 2\], allowed: \[3, 3\]$"),
        ({"counts": np.array([2, 1])}, r"^backward task: shape of counts, got \[2\], allowed: \[3\]$"),
        ({"values": GOOD.values[:2]}, r"^backward task: shape of values, got \[2\], allowed: \[3\]$"),
        ({"rows": GOOD.rows[:2]}, r"^backward task: shape of rows, got \[2\], allowed: \[3\]$"),
        (
            {"group_items": np.array([2, 2])},
            r"^backward task: items of the groups, got \[2, 2\], allowed: 1 or more each, 3 in all$",
        ),
        ({"group_items": np.array([3, 0])}, r"^backward task: items of the groups, got \[3, 0\]"),
        ({"counts": np.array([4, -1, 0])}, r"^backward task: gradients of an item, got -1, allowed: 0 or more$"),
        ({"masks": GOOD.masks * [[1], [0], [1]]}, r"^backward task: item without an active channel, got 1$"),
        ({"rows": np.array([0, 2, 1])}, r"^backward task: weight row, got 2, allowed: 0..1$"),
        ({"rows": np.array([0, -1, 1])}, r"^backward task: weight row, got -1, allowed: 0..1$"),
    ],
)
def test_tasks_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(GOOD, **change)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (
            BackwardUnitGeometry(lanes=2, channel_tile=4),
            r"^backward task: channels of the task, got 3, allowed: 4 \(channel tile\)$",
        ),
        (
            BackwardUnitGeometry(lanes=2, channel_tile=3, items_in_flight=1),
            r"^backward task: items of a group, got 2, allowed: 1..1 \(items in flight\)$",
        ),
    ],
)
def test_tasks_that_do_not_fit_the_unit(geometry: BackwardUnitGeometry, message: str) -> None:
    with pytest.raises(InputError, match=message):
        backward_stimulus(geometry, GOOD)


def test_the_law_refuses_impossible_items() -> None:
    law = BackwardUnitTiming(lanes=2)
    with pytest.raises(
        InputError, match=r"^backward unit law: items of the groups, got \[2, 0\], allowed: 1 or more each$"
    ):
        law.transfers([2, 0], [1, 1], [1, 1])
    with pytest.raises(
        InputError, match=r"^backward unit law: gradients of the items, got \[1\], allowed: 0 or more, of 2 items$"
    ):
        law.stall_free_cycles([2], [1], [1, 1])
    with pytest.raises(
        InputError,
        match=r"^backward unit law: active channels of the items, got \[1, 0\], allowed: 1 or more, of 2 items$",
    ):
        law.stall_free_cycles([2], [1, 1], [1, 0])
