"""Compressed gradients in DRAM: a bitmap and the non-zero values, step by step, the last timestep first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.end_to_end.steps import BATCH, make_record, make_trace, tiny_config
from tlm.engines.context import GradientSizes, Progress
from tlm.kernel import Simulation
from tlm.schedule.geometry import micro_batches
from tlm.schedule.placement import place

STEP = ("spikes", "conv", 3)
BATCHES = micro_batches(BATCH, 2)


@pytest.fixture
def sizes(simulation: Simulation) -> GradientSizes:
    trace = make_trace(*STEP)
    return GradientSizes(trace, place(trace.network, BATCH, tiny_config()), Progress("progress", simulation), 2)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_bytes_of_each_step_are_counted_from_the_last_timestep_down(sizes: GradientSizes, layer: int) -> None:
    gradients = make_record(*STEP).layers[layer].gradients[:, 2:4]
    counted = [-(-step.size // 8) + 2 * int(np.count_nonzero(step)) for step in gradients]
    assert len(set(counted)) > 1  # or the order could not be seen
    assert sizes.bytes_by_step(layer, BATCHES[1]) == counted[::-1]


def test_the_last_layer_has_one_gradient_as_it_is(sizes: GradientSizes) -> None:
    assert [sizes.bytes_by_step(3, batch) for batch in BATCHES] == [[12], [12], [6]]
    first, last = (sizes.descriptor(3, BATCHES[0], step) for step in (0, 2))
    assert (first.address, first.length_bytes) == (last.address, last.length_bytes)


def test_steps_lie_one_after_another_and_wait_for_their_planes(sizes: GradientSizes) -> None:
    steps = [sizes.descriptor(1, BATCHES[1], step) for step in range(3)]
    assert all(before.address + before.length_bytes == after.address for before, after in pairwise(steps))
    assert [step.level for step in steps] == [2, 4, 6]
    assert sizes.descriptor(1, BATCHES[2], 0).address - steps[0].address == 15 + 240  # room for the densest case
