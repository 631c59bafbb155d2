"""Tasks of the backward units: every item once, in order, with the gradients, weights and sums of the definition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.formats import BINARY16, BINARY32, decode, encode
from rtl_models.reference.backward import Consumer
from rtl_models.reference.backward_items import backward_item_sums
from tests.cosim.traces import make_step, small_network
from tlm.config import Config, check_config
from tlm.engines.backward_law import deal_groups
from tlm.schedule.backward_items import backward_items, block_positions, is_union, step_operands
from tlm.schedule.backward_tasks import UnitTask, backward_tasks
from tlm.schedule.group_queue import queue_groups
from workloads.network import Layer
from workloads.trace_file import Trace, open_trace, write_trace


def config(output_bytes: int = 2**20, **engine: int) -> Config:
    table = {"lanes": 2, "channel_tile": 3, "items_in_flight": 2, "units": 3} | engine
    return check_config({"backward_engine": table, "buffers": {"backward_sums_bytes": output_bytes}}, "test")


LAYER = Layer("upper", 4, 3, 5, 3, 3, 3, 1, 1, False, True)


def operands(layer: Layer, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gradients, masks, weights) of two samples; numbers of binary16."""
    rng = np.random.default_rng(seed)
    shape = (2, layer.out_height, layer.out_width, layer.out_channels)
    gradients = rng.normal(size=shape).astype(np.float16).astype(np.float32) * (rng.random(shape) < 0.4)
    masks = (rng.random((2, layer.in_height, layer.in_width, layer.in_channels)) < 0.4).astype(np.uint8)
    kernel = (layer.out_channels, layer.kernel_height, layer.kernel_width, layer.in_channels)
    return gradients, masks, rng.normal(size=kernel).astype(np.float16).astype(np.float32)


def test_elements_are_those_of_the_definition() -> None:
    gradients, masks, weights = operands(LAYER, 0)
    for tile in (0, 1):
        seen = set()
        (unit_task,) = backward_tasks([Consumer(LAYER, gradients, weights)], masks, config(), tile)
        task, element = unit_task.task, 0
        channels = slice(3 * tile, min(3 * tile + 3, 5))
        for item, position in enumerate(unit_task.positions):
            b, y, x = np.unravel_index(int(position), masks.shape[:3])
            seen.add(int(position))
            width = channels.stop - channels.start
            assert task.masks[item].tolist() == masks[b, y, x, channels].tolist() + [0] * (3 - width)
            expected = []
            for r, s, m in np.ndindex(3, 3, 3):
                oy, ox = y + 1 - r, x + 1 - s
                if 0 <= oy < 4 and 0 <= ox < 3 and gradients[b, oy, ox, m]:
                    expected.append((gradients[b, oy, ox, m], *weights[m, r, s, channels]))
            for values in expected:
                row = decode(task.weights[task.rows[element]], BINARY16)
                assert (decode(task.values[element : element + 1], BINARY16)[0], *row[:width]) == values
                assert not row[width:].any()
                element += 1
            assert task.counts[item] == len(expected)
        assert element == len(task.values)
        assert sorted(seen) == np.flatnonzero(masks[..., channels].any(axis=-1).ravel()).tolist()
        assert unit_task.sums.tolist() == backward_item_sums(task, BINARY16, BINARY32).tolist()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(16, 200), st.integers(1, 4))
def test_every_group_runs_once_on_its_unit(seed: int, flight: int, output_bytes: int, units: int) -> None:
    gradients, masks, weights = operands(LAYER, seed)
    settings_ = config(output_bytes, items_in_flight=flight, units=units)
    items = backward_items([Consumer(LAYER, gradients)], masks, settings_.backward_engine)
    size = block_positions(12, 3, settings_)
    queue = queue_groups(items, 0, size, flight)
    # an item's block is that of its position; groups are full but for the last of a block
    blocks = [(p // 12, p % 12 // size) for p in queue.positions.tolist()]
    assert queue.positions.tolist() == np.flatnonzero(masks[..., :3].any(axis=-1).ravel()).tolist()
    first, last_block = 0, None
    for number in queue.group_items.tolist():
        group = set(blocks[first : first + number])
        assert len(group) == 1
        (block,) = group
        ends = first + number == len(blocks) or blocks[first + number] != block
        assert number == flight or (ends and 0 < number < flight)
        first, last_block = first + number, block
    assert first == len(blocks)
    assert last_block is None or last_block == blocks[-1]
    assert queue.block_items.sum() == len(blocks)

    dealt = deal_groups(queue, settings_.backward_engine)
    tasks = list(backward_tasks([Consumer(LAYER, gradients, weights)], masks, settings_, 0, dealt, largest_task=20))
    ends = np.cumsum(queue.group_items)
    for unit in range(units):
        mine = [t for t in tasks if t.unit == unit]
        positions = [p for t in mine for p in t.positions.tolist()]
        groups = np.flatnonzero(dealt == unit)
        expected = [p for g in groups for p in queue.positions[ends[g] - queue.group_items[g] : ends[g]].tolist()]
        assert positions == expected
        assert [n for t in mine for n in t.task.group_items.tolist()] == queue.group_items[groups].tolist()
    # a cut comes as soon as the limit is passed, at a group's end
    assert all(t.task.counts.sum() - t.task.counts[-flight:].sum() < 20 for t in tasks)


def test_groups_of_parts_of_the_positions() -> None:
    """Part by part, sample by sample, block by block: no group reaches across, every item comes once."""
    gradients, masks, _ = operands(LAYER, 4)
    engine = config().backward_engine
    items = backward_items([Consumer(LAYER, gradients)], masks, engine)
    queue = queue_groups(items, 0, 3, 2, ((0, 5), (5, 10), (10, 12)))
    active = set(np.flatnonzero(items.active[..., 0].ravel()).tolist())
    blocks = [
        [p for p in range(12 * sample + first, 12 * sample + min(first + 3, end)) if p in active]
        for begin, end in ((0, 5), (5, 10), (10, 12))
        for sample in range(2)
        for first in range(begin, end, 3)
    ]
    assert queue.positions.tolist() == [p for block in blocks for p in block]
    assert queue.block_items.tolist() == [len(block) for block in blocks]
    assert queue.group_items.tolist() == [min(2, len(block) - i) for block in blocks for i in range(0, len(block), 2)]
    assert queue.active.tolist() == items.active[..., 0].ravel()[queue.positions].tolist()
    plain, whole = queue_groups(items, 0, 3, 2), queue_groups(items, 0, 3, 2, ((0, 12),))
    for name in vars(plain):
        assert getattr(plain, name).tolist() == getattr(whole, name).tolist()


def test_a_step_without_a_mask_bit_has_no_tasks() -> None:
    gradients, masks, weights = operands(LAYER, 3)
    assert not list(backward_tasks([Consumer(LAYER, gradients, weights)], np.zeros_like(masks), config(), 0))


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trace]:
    path = tmp_path_factory.mktemp("trace") / "step.h5"
    write_trace(make_step(small_network()), path)
    with open_trace(path) as opened:
        yield opened


def all_tasks(trace: Trace, layer: int, step: int) -> list[UnitTask]:
    consumers, masks = step_operands(trace, layer, slice(0, 5), step, weights=True)
    tiles = range(-(-trace.network.layers[layer].out_channels // 3))
    return [task for tile in tiles for task in backward_tasks(consumers, masks, config(), tile)]


def test_a_trace_gives_the_steps_from_the_last_timestep_down(trace: Trace) -> None:
    layers = len(trace.network.layers)
    assert [is_union(trace, layer) for layer in range(layers - 1)] == [False] * (layers - 2) + [True]
    for step in range(trace.network.timesteps):
        t = trace.network.timesteps - 1 - step
        (above,), masks = step_operands(trace, 0, slice(1, 3), step)
        np.testing.assert_array_equal(above.gradients, trace.gradients(1)[t, 1:3])
        np.testing.assert_array_equal(masks, trace.masks(0)[t, 1:3])
    (above,), masks = step_operands(trace, layers - 2, slice(0, 5), 0)
    np.testing.assert_array_equal(above.gradients, trace.gradients(layers - 1))
    np.testing.assert_array_equal(masks, trace.masks(layers - 2).max(axis=0))


def test_sums_of_a_trace_are_those_of_the_units(trace: Trace) -> None:
    count = 0
    for layer, step in ((0, 0), (0, 2), (len(trace.network.layers) - 2, 0)):
        for unit_task in all_tasks(trace, layer, step):
            found = backward_item_sums(unit_task.task, BINARY16, BINARY32)
            np.testing.assert_array_equal(found, unit_task.sums)
            count += len(found)
    assert count > 20


def test_gradients_of_a_trace_keep_their_bits(trace: Trace) -> None:
    (unit_task, *_) = all_tasks(trace, len(trace.network.layers) - 2, 0)
    gradients = encode(trace.gradients(len(trace.network.layers) - 1), BINARY16).ravel()
    assert set(unit_task.task.values.tolist()) <= set(gradients[gradients << 1 != 0].tolist())


def test_weights_that_were_not_read_are_missed(trace: Trace) -> None:
    consumers, masks = step_operands(trace, 0, slice(0, 2), 0)
    with pytest.raises(ValueError, match="the weights of a consumer have not been read"):
        list(backward_tasks(consumers, masks, config(), 0))
