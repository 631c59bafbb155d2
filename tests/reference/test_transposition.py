"""What the weight update transposes: channel groups of its points become its indices, block by block."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_models.reference.packing import point_groups, update_indices
from rtl_models.reference.shape import update_group_count
from rtl_models.reference.transposition import TranspositionTask, transposed
from tests.reference.test_packing import LAYERS, random_spikes, spike_at
from workloads.network import Layer

CODES = pytest.mark.parametrize(("k", "lanes"), [(1, 1), (2, 8), (3, 4), (4, 16), (8, 2)])


@LAYERS
@CODES
def test_point_groups_hold_the_channels_that_each_point_meets(layer: Layer, k: int, lanes: int) -> None:
    spikes = random_spikes(layer, 2, 3)
    groups = point_groups(layer, spikes, k, lanes)
    per_tap, planes = -(-layer.in_channels // k), 2 * 3
    assert groups.shape == (
        update_group_count(layer, planes, k, lanes) * k,
        layer.kernel_height * layer.kernel_width * per_tap,
    )
    height = (layer.in_height + 2 * layer.padding - layer.kernel_height) // layer.stride + 1
    width = (layer.in_width + 2 * layer.padding - layer.kernel_width) // layer.stride + 1
    padded = 1 if layer.fully_connected else -(-height * width // k) * k
    wanted = np.zeros(groups.shape, np.uint8)
    for t, b, oy, ox in np.ndindex(2, 3, height, width):
        point = ((1 - t) * 3 + b) * padded + oy * width + ox
        for r, s, c in np.ndindex(layer.kernel_height, layer.kernel_width, layer.in_channels):
            group = (r * layer.kernel_width + s) * per_tap + c // k
            wanted[point, group] |= spike_at(layer, spikes, (t, b, oy, ox), (r, s, c)) << (c % k)
    assert np.array_equal(groups, wanted)


@LAYERS
@CODES
def test_transposed_point_groups_are_the_update_indices(layer: Layer, k: int, lanes: int) -> None:
    spikes = random_spikes(layer, 2, 3)
    groups = point_groups(layer, spikes, k, lanes)
    blocks = groups.reshape(-1, k, groups.shape[1]).transpose(0, 2, 1)  # [point groups, channel groups, points]
    indices = transposed(TranspositionTask(np.ascontiguousarray(blocks), np.array([len(blocks)])))
    by_tap = indices.reshape(len(blocks), layer.kernel_height * layer.kernel_width, -1)
    assert not by_tap[..., layer.in_channels :].any()
    elements = by_tap[..., : layer.in_channels].reshape(len(blocks), -1).T
    assert np.array_equal(elements, update_indices(layer, spikes, k, lanes))
