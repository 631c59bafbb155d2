"""Sizes of the work of the two shipped networks, counted by hand."""

from __future__ import annotations

import pytest

from tlm.schedule.geometry import (
    LutWork,
    MicroBatch,
    forward_work,
    is_direct,
    micro_batches,
    update_point_groups,
    update_work,
)
from workloads.network import load_network
from workloads.record import Arithmetic

CONV, MLP = load_network("digits-conv"), load_network("digits-mlp")
K4 = Arithmetic()  # k = 4, 16 lanes


def test_micro_batches_cover_the_batch_in_order() -> None:
    assert micro_batches(20, 8) == (MicroBatch(0, 0, 8), MicroBatch(1, 8, 8), MicroBatch(2, 16, 4))
    assert micro_batches(3, 8) == (MicroBatch(0, 0, 3),)
    assert MicroBatch(2, 16, 4).samples == slice(16, 20)


def test_only_the_first_layer_takes_bytes() -> None:
    assert [is_direct(CONV, layer) for layer in range(4)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("layer", "work"),
    [
        (0, LutWork(rows=32, positions=8 * 64, planes=8, tiles_per_plane=1)),  # 9 taps of 1 channel: 9 groups
        (1, LutWork(rows=64, positions=6 * 8 * 16, planes=1, tiles_per_plane=5)),  # 9 taps x 32 / 4 = 72 groups
        (2, LutWork(rows=128, positions=6 * 8, planes=1, tiles_per_plane=16)),  # 4 x 4 x 64 / 4 = 256 groups
        (3, LutWork(rows=10, positions=6 * 8, planes=1, tiles_per_plane=2)),  # 128 / 4 = 32 groups
    ],
)
def test_forward_work_of_digits_conv(layer: int, work: LutWork) -> None:
    assert forward_work(CONV, layer, 8, K4) == work


@pytest.mark.parametrize(
    ("layer", "groups", "work"),
    [
        (0, 8 * 16, LutWork(rows=32, positions=9, planes=8, tiles_per_plane=8)),  # 8 planes of 64 points
        (1, 48 * 4, LutWork(rows=64, positions=288, planes=1, tiles_per_plane=12)),  # 48 planes of 16 points
        (2, 12, LutWork(rows=128, positions=1024, planes=1, tiles_per_plane=1)),  # 48 points run on
        (3, 12, LutWork(rows=10, positions=128, planes=1, tiles_per_plane=1)),
    ],
)
def test_update_work_of_digits_conv(layer: int, groups: int, work: LutWork) -> None:
    assert update_point_groups(CONV, layer, 8, 4) == groups
    assert update_work(CONV, layer, 8, K4) == work


def test_a_plane_is_padded_to_whole_groups_but_linear_points_run_on() -> None:
    assert update_point_groups(CONV, 1, 3, 3) == 3 * 6 * 6  # 16 points a plane take 6 groups of 3
    assert update_point_groups(CONV, 2, 3, 4) == 5  # 18 points
    assert update_point_groups(MLP, 0, 5, 4) == 2  # bytes: one point a sample
    assert update_point_groups(MLP, 1, 5, 4) == 8  # 30 points


def test_all_tiles_of_a_position_block() -> None:
    assert forward_work(CONV, 0, 8, K4).tiles == 8
    assert update_work(CONV, 0, 8, K4).tiles == 64
