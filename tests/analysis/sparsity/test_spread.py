"""A spread trace is as dense as the real one, everywhere it should be, and differs from it otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.workloads.synthetic import random_record, small_network
from tlm.analysis.sparsity.spread import LAYER, TIMESTEP, SpreadTrace, shuffle_rows
from workloads.network import CONSTANT
from workloads.trace_file import Trace, open_trace, write_trace

TENSORS = ("spikes", "masks", "gradients")


@pytest.mark.parametrize("by", [LAYER, TIMESTEP])
def test_as_dense_as_the_real_trace(trace: Trace, by: str) -> None:
    spread = SpreadTrace(trace, by, seed=1)
    for layer in trace.network.hidden:
        for name in TENSORS:
            real, shuffled = getattr(trace, name)(layer), getattr(spread, name)(layer)
            axes = (1, 2, 3, 4) if by == TIMESTEP else None
            np.testing.assert_array_equal(np.count_nonzero(real, axis=axes), np.count_nonzero(shuffled, axis=axes))
            assert layer or (real != shuffled).any()
            assert (np.sort(real.ravel()) == np.sort(shuffled.ravel())).all()
    last = len(trace.network.layers) - 1
    assert (np.sort(trace.gradients(last).ravel()) == np.sort(spread.gradients(last).ravel())).all()
    assert np.sort(trace.gradient_sums().ravel()).tolist() == np.sort(spread.gradient_sums().ravel()).tolist()
    bits, shuffled = (np.unpackbits(one.inputs()[..., None], axis=-1) for one in (trace, spread))
    axes = tuple(range(bits.ndim - 1)) if by == TIMESTEP else None
    np.testing.assert_array_equal(bits.sum(axis=axes), shuffled.sum(axis=axes))
    if by == LAYER:  # the digits leave the upper planes empty
        planes = shuffled.reshape(-1, 8).sum(axis=0)
        assert planes.min() > planes.max() / 3
    for layer, shape in enumerate(trace.network.layers):
        if shape.source == CONSTANT:  # a bias takes the gradients of the layer that it joins
            np.testing.assert_array_equal(spread.gradients(layer), spread.gradients(trace.network.joined(layer)))


def test_slices_are_those_of_the_whole_and_seeds_differ(trace: Trace) -> None:
    first, again, other = (SpreadTrace(trace, LAYER, seed) for seed in (1, 1, 2))
    for name in TENSORS:
        whole = getattr(first, name)(0)
        np.testing.assert_array_equal(getattr(again, name)(0, slice(1, 2), slice(0, 1)), whole[0:1, 1:2])
        assert (getattr(other, name)(0) != whole).any()
    np.testing.assert_array_equal(again.inputs(slice(1, 2)), first.inputs()[1:2])
    np.testing.assert_array_equal(again.weights(0), trace.weights(0))


def test_every_tensor_is_shuffled_in_an_order_of_its_own(tmp_path: Path) -> None:
    record = random_record(small_network(layers=[{"linear": 30}, {"linear": 30}, {"linear": 4}]))
    first, *others = record.layers
    same = [replace(layer, spikes=first.spikes, masks=first.spikes) for layer in (first, others[0])]
    write_trace(replace(record, layers=(*same, others[1])), tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        spread = SpreadTrace(trace, LAYER, 0)
        tensors = [spread.spikes(0), spread.spikes(1), spread.masks(0)]
    assert len({tensor.tobytes() for tensor in tensors}) == 3


def test_spikes_that_enter(tmp_path: Path) -> None:
    record = random_record(small_network(input={"shape": [4, 5, 3], "coding": "spikes"}))
    write_trace(record, tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        spread = SpreadTrace(trace, TIMESTEP, 0)
        assert spread.inputs(slice(0, 2), slice(1, 3)).shape == (2, 2, 4, 5, 3)
        np.testing.assert_array_equal(spread.inputs().sum((1, 2, 3, 4)), trace.inputs().sum((1, 2, 3, 4)))


def test_rows_are_shuffled_each_by_itself() -> None:
    shuffled = shuffle_rows(np.arange(3000).reshape(3, 10, 100), 3, np.random.default_rng(0))
    for row, values in enumerate(shuffled.reshape(3, -1)):
        assert sorted(values) == list(range(1000 * row, 1000 * row + 1000))
        assert list(values) != sorted(values)
