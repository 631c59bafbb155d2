"""Work items of the backward engine against a count by loops over the definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.reference.backward import Consumer
from tlm.config import BackwardEngineConfig
from tlm.schedule.backward_items import backward_items, count_by_tile
from workloads.network import Layer


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    height, width = draw(st.integers(rows, 5)), draw(st.integers(columns, 5))
    channels, out = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    kernel = (rows, columns, draw(st.integers(1, 3)), draw(st.integers(0, 2)))
    layer = Layer("upper", height, width, channels, out, *kernel, False, True)
    return replace(layer, pool=draw(pools(layer)))


def pools(layer: Layer) -> st.SearchStrategy[int]:
    """Sizes of windows that cover the plane of an unpooled convolution."""
    return st.sampled_from([p for p in (1, 2, 3) if not (layer.conv_height % p or layer.conv_width % p)])


@settings(max_examples=60)
@given(layers(), st.integers(0, 2**32), st.integers(1, 4), st.booleans(), st.booleans())
def test_items_equal_the_definition(layer: Layer, seed: int, tile: int, skip_zero: bool, skip_inactive: bool) -> None:
    rng = np.random.default_rng(seed)
    samples = 2
    gradients = rng.normal(size=(samples, layer.out_height, layer.out_width, layer.out_channels)).astype(np.float32)
    gradients *= rng.random(gradients.shape) < 0.5
    gradients[gradients == 0] = np.float32(-0.0)  # both zeros are zero
    masks = (rng.random((samples, layer.in_height, layer.in_width, layer.in_channels)) < 0.5).astype(np.uint8)
    config = BackwardEngineConfig(channel_tile=tile, skip_zero_gradients=skip_zero, skip_inactive_outputs=skip_inactive)
    items = backward_items([Consumer(layer, gradients)], masks, config)
    macs = 0
    for b, y, x in np.ndindex(*masks.shape[:3]):
        reached = [
            gradients[b, oy // layer.pool, ox // layer.pool, m]
            for oy, ox, m in np.ndindex(layer.conv_height, layer.conv_width, layer.out_channels)
            if 0 <= y + layer.padding - oy * layer.stride < layer.kernel_height
            and 0 <= x + layer.padding - ox * layer.stride < layer.kernel_width
        ]
        visits = sum(g != 0 for g in reached) if skip_zero else len(reached)
        outputs = masks[b, y, x] if skip_inactive else np.ones_like(masks[b, y, x])
        active = [int(outputs[c : c + tile].sum()) for c in range(0, layer.in_channels, tile)]
        assert items.gradients[b, y, x] == visits
        assert items.active[b, y, x].tolist() == active
        macs += visits * sum(active)
    assert items.macs == macs


def test_channels_are_counted_tile_by_tile_the_last_one_narrower() -> None:
    active = np.array([[1, 1, 0, 1, 1], [0, 0, 0, 0, 1]], np.uint8)
    assert count_by_tile(active, 2).tolist() == [[2, 1, 1], [0, 0, 1]]
    assert count_by_tile(active, 64).tolist() == [[4], [1]]


def test_empty_masks_are_no_items_and_zero_gradients_are() -> None:
    layer = Layer("upper", 1, 4, 2, 3, 1, 1, 1, 0, False, True)
    gradients = np.zeros((1, 1, 4, 3), np.float32)
    gradients[0, 0, 2] = [1, 0, -2]
    masks = np.array([[[[1, 0], [0, 0], [1, 1], [0, 1]]]], np.uint8)
    items = backward_items([Consumer(layer, gradients)], masks, BackwardEngineConfig(channel_tile=2))
    visits, active = items.work(0, 0, 4)
    assert (visits.tolist(), active.tolist()) == ([0, 2, 0], [1, 2, 1])
    assert [counts.tolist() for counts in items.work(0, 1, 2)] == [[], []]


def test_an_identity_adds_its_gradients_to_the_tile_that_holds_their_channel() -> None:
    upper = Layer("upper", 1, 2, 3, 2, 1, 1, 1, 0, False, True)
    gradients = np.array([[[[1, 0], [2, 3]]]], np.float32)
    added = np.array([[[[0, 4, 5], [0, 0, 6]]]], np.float32)
    consumers = [Consumer(upper, gradients), Consumer(upper, added, identity=True)]
    masks = np.array([[[[1, 1, 1], [0, 0, 1]]]], np.uint8)
    items = backward_items(consumers, masks, BackwardEngineConfig(channel_tile=2))
    assert [items.elements(tile).tolist() for tile in (0, 1)] == [[2, 2], [2, 3]]
    assert [counts.tolist() for counts in items.work(1, 0, 2)] == [[2, 3], [1, 1]]
    assert [items.unit_elements(tile, 0, 2) for tile in (0, 1)] == [1, 2]  # an empty mask takes none
    assert items.macs == 2 * 2 + 2 * 1 + 3 * 1
    dense = backward_items(consumers, masks, BackwardEngineConfig(channel_tile=2, skip_zero_gradients=False))
    assert [dense.elements(tile).tolist() for tile in (0, 1)] == [[4, 4], [3, 3]]
