"""What is counted as lost to underflow, against the same step in binary64; and the learner that counts it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32
from tests.workloads.test_training_step import random_inputs, small_network
from workloads.float_step import sums_from_above
from workloads.learner import MachineLearner
from workloads.network import load_network, parse_network
from workloads.observer import ObservingLearner
from workloads.record import Arithmetic, OptimiserConstants, StepRecord
from workloads.training_settings import TrainingSettings
from workloads.training_state import initial_state
from workloads.training_step import training_step
from workloads.underflow import TENSORS, Underflow, underflow_of


def make_step(coding: str, arithmetic: Arithmetic, scale_log2: int, seed: int = 0) -> StepRecord:
    network = small_network(coding)
    rng = np.random.default_rng(seed)
    inputs, labels = random_inputs(network, 5, rng), rng.integers(0, 4, 5)
    state = initial_state(network, arithmetic, seed, scale_log2)
    rates = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0), scale_log2, False)
    return training_step(network, arithmetic, state, inputs, labels, rates)


def counts(record: StepRecord) -> dict[tuple[str, str], Underflow]:
    return {(row.layer, row.tensor): row for row in underflow_of(record)}


@pytest.fixture(scope="module")
def unscaled() -> StepRecord:
    """A step whose gradients are at the lower end of binary16."""
    return make_step("spikes", Arithmetic(k=3, lanes=4, micro_batch=4), -9)


def wide_du(record: StepRecord, number: int) -> np.ndarray:
    """The gradients of a layer in binary64, from the stored gradients above it."""
    layer, neuron = record.layers[number], record.network.neuron
    above = {n: later.gradients for n, later in enumerate(record.layers) if n > number}
    last = len(record.layers) - 1
    if last in above:
        above[last] = above[last][np.newaxis]
    sums = sums_from_above(record.network, tuple(each.weights for each in record.layers), above, number, np.float64)
    du = np.zeros(layer.gradients.shape)
    following = np.zeros(du.shape[1:])
    for t in reversed(range(len(du))):
        ds = sums[min(t, len(sums) - 1)] - neuron.alpha * layer.potentials[t] * following
        du[t] = neuron.beta * ds * layer.masks[t] + neuron.alpha * (1 - layer.spikes[t]) * following
        following = du[t]
    return du


class TestCounts:
    def test_flushed_gradients_are_those_that_binary64_has(self, unscaled: StepRecord) -> None:
        flushed = 0
        for number in unscaled.network.hidden:
            row = counts(unscaled)[unscaled.network.layers[number].name, "du"]
            stored = unscaled.layers[number].gradients
            lost = (stored == 0) & (wide_du(unscaled, number) != 0)
            assert row.flushed == np.count_nonzero(lost)
            assert row.values == np.count_nonzero(stored) + row.flushed
            assert row.subnormal == unscaled.layers[number].subnormal["du"]
            flushed += row.flushed
        assert flushed > 10

    def test_the_last_layer_and_the_weights(self, unscaled: StepRecord) -> None:
        rows = counts(unscaled)
        g16 = rows["fc4", "g16"]
        assert (g16.values, g16.flushed) == (20, np.count_nonzero(unscaled.layers[-1].gradients == 0))
        assert g16.subnormal > 0
        assert ("fc4", "du") not in rows
        master = np.full_like(unscaled.layers[0].new_master, 2.0**-26)
        master.flat[:3] = 0.0, 2.0**-20, 1.0
        layer = replace(unscaled.layers[0], new_master=master, new_weights=master.astype(np.float16).astype(np.float32))
        w16 = counts(replace(unscaled, layers=(layer, *unscaled.layers[1:])))["conv1", "W16"]
        assert (w16.values, w16.subnormal, w16.flushed) == (master.size - 1, 1, master.size - 3)

    @pytest.mark.parametrize("coding", ["direct", "spikes"])
    @pytest.mark.parametrize("formats", [(BINARY16, BINARY16), (BFLOAT16, BINARY32), (BINARY32, BINARY32)])
    def test_what_the_step_itself_counts(self, coding: str, formats: tuple[Any, Any]) -> None:
        record = make_step(coding, Arithmetic(*formats, k=3, lanes=4, micro_batch=4), 6)
        rows = counts(record)
        assert {tensor for _, tensor in rows} == set(TENSORS) - ({"d16"} if coding == "spikes" else set())
        for (name, tensor), row in rows.items():
            number = [layer.name for layer in record.network.layers].index(name)
            key = "du" if tensor == "g16" else tensor
            assert row.subnormal == record.layers[number].subnormal[key]
            assert row.nonfinite == record.layers[number].nonfinite[key]
            assert 0 <= row.subnormal + row.flushed <= row.values
            if formats[0] is not BINARY16:
                assert row.flushed == 0

    def test_entries_of_tables(self, unscaled: StepRecord) -> None:
        """Groups of three weights have seven entries beside 0; a padded group of fewer has fewer."""
        rows = counts(unscaled)
        fc3, fc4 = unscaled.network.layers[2], unscaled.network.layers[3]
        assert rows["fc4", "forward_tables"].values == 4 * 2 * 7  # six channels: two groups of three, four outputs
        assert fc3.in_channels == 3
        assert rows["fc3", "forward_tables"].values == 6 * fc3.kernel_height * fc3.kernel_width * 7
        g16 = unscaled.layers[-1].gradients.reshape(5, 4)
        points = [np.concatenate([g16[start : start + 4]] * 3) for start in (0, 4)]  # t, b of two micro-batches
        entries = 0
        for micro_batch in points:
            for row in micro_batch.T:
                for group in range(0, len(row), 3):
                    entries += 2**3 - 2 ** (3 - np.count_nonzero(row[group : group + 3]))
        assert rows["fc4", "update_tables"].values == entries
        assert fc4.out_channels == 4

    def test_projections_have_no_gradients_of_their_own(self) -> None:
        bias = load_network("digits-mlp").to_dict() | {
            "layers": [{"linear": 5}, {"linear": {"channels": 4, "bias": True}}]
        }
        network = parse_network(bias, "biased")
        arithmetic = Arithmetic(micro_batch=2)
        rates = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0), 12, False)
        inputs = np.ones((2, 8, 8, 1), np.uint8)
        record = training_step(
            network, arithmetic, initial_state(network, arithmetic, 0), inputs, np.zeros(2, int), rates
        )
        assert {tensor for layer, tensor in counts(record) if layer == "bias2"} == {
            "dW",
            "W16",
            "forward_tables",
            "update_tables",
        }


def test_observing_changes_no_bit() -> None:
    settings = TrainingSettings(load_network("digits-mlp"), 4, 4, Arithmetic(micro_batch=4), batch=4)
    plain = MachineLearner(settings)
    watched = ObservingLearner(plain, closely=(2,))
    states = [plain.initial_state(), watched.initial_state()]
    for number, batch in enumerate(settings.dataset.epoch_batches(0, 0, 4), start=1):
        arguments = (batch.images, batch.labels, settings.optimiser(number, 12), number, False)
        outcomes = [learner.step(state, *arguments) for learner, state in zip((plain, watched), states, strict=True)]
        assert outcomes[0].observed is None
        seen = outcomes[1].observed
        assert seen is not None
        assert (seen["step"], seen["loss"], seen["skipped"]) == (number, outcomes[0].loss, False)
        assert bool(seen["underflow"]) == (number == 2)
        assert outcomes[1].record is None
        assert outcomes[1].subnormal == outcomes[0].subnormal
        states = [outcome.state for outcome in outcomes]
        for name in ("master", "momentum", "weights"):
            assert all(map(np.array_equal, getattr(states[0], name), getattr(states[1], name)))
        if number == 3:
            break
    assert np.array_equal(plain.logits(states[0], batch.images), watched.logits(states[1], batch.images))
