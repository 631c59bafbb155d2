"""Compressed gradients in DRAM: a bitmap and the non-zero values, step by step, the last timestep first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.end_to_end.steps import BATCH, make_network, make_record, make_trace, tiny_config
from tlm.engines.context import GradientSizes, Progress
from tlm.kernel import Simulation
from tlm.schedule.geometry import micro_batches
from tlm.schedule.placement import place
from tlm.schedule.staging import gradient_samples
from tlm.schedule.step_counts import StepCounts

STEP = ("spikes", "conv", 3)
BATCHES = micro_batches(BATCH, 2)


@pytest.fixture
def sizes(simulation: Simulation) -> GradientSizes:
    trace, config = make_trace(*STEP), tiny_config("dma.part_bytes=1")
    placement = place(trace.network, BATCH, config)
    return GradientSizes(trace.network, placement, Progress("progress", simulation), config, StepCounts(trace))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_bytes_are_counted_by_sample_from_the_last_timestep_down(sizes: GradientSizes, layer: int) -> None:
    gradients = make_record(*STEP).layers[layer].gradients[:, 2:4]
    counted = [[-(-plane.size // 8) + 2 * int(np.count_nonzero(plane)) for plane in step] for step in gradients]
    assert counted != counted[::-1]  # or the order could not be seen
    assert sizes.bytes_by_sample(layer, BATCHES[1]).tolist() == counted[::-1]
    assert [sizes.step_bytes(layer, BATCHES[1], step)[1] for step in range(3)] == [sum(s) for s in counted[::-1]]


def test_the_last_layer_has_one_gradient_as_it_is(sizes: GradientSizes) -> None:
    assert [sizes.bytes_by_sample(3, batch).tolist() for batch in BATCHES] == [[[6, 6]], [[6, 6]], [[6]]]
    first, last = (sizes.descriptor(3, BATCHES[0], step, 0) for step in (0, 2))
    assert (first.address, first.length_bytes) == (last.address, last.length_bytes)
    assert (first.length_bytes, sizes.parts(3, BATCHES[0])) == (12, 1)


def test_parts_lie_one_after_another_and_wait_for_their_planes(sizes: GradientSizes) -> None:
    assert sizes.parts(1, BATCHES[1]) == 2
    parts = [sizes.descriptor(1, BATCHES[1], step, part) for step in range(3) for part in range(2)]
    assert all(before.address + before.length_bytes == after.address for before, after in pairwise(parts))
    assert [part.level for part in parts] == [2, 2, 4, 4, 6, 6]
    offset, length = sizes.step_bytes(1, BATCHES[1], 1)
    assert (parts[2].address - parts[0].address, parts[4].address - parts[2].address) == (offset, length)
    room = 6 * 3 + 240  # the densest case: a bitmap of every plane, and all values
    assert sizes.descriptor(1, BATCHES[2], 0, 0).address - parts[0].address == room


def test_samples_travel_together_as_far_as_a_part_holds_them() -> None:
    layer = make_network(*STEP).layers[1]  # a sample's 20 neurons: 3 + 40 bytes
    chosen = [gradient_samples(layer, 4, tiny_config(f"dma.part_bytes={size}")) for size in (1, 85, 86, 128, 129, 999)]
    assert chosen == [1, 1, 2, 2, 3, 4]
