"""Normalised starts: what every channel's sums are after them, what they leave alone, and who trains from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.formats import BINARY32, round_to
from tests.workloads.residual import NEURON, conv
from workloads.forward import Activity, layer_activity, part_sums
from workloads.initialise import initial_weights
from workloads.learner import MachineLearner, make_learner, starting_weights
from workloads.network import Network, parse_network
from workloads.normalise import normalised_weights
from workloads.record import Arithmetic, Floats
from workloads.training_settings import FLOAT32, TrainingSettings

ARITHMETIC = Arithmetic(value=BINARY32)  # so that rounding hides nothing
THRESHOLD = NEURON["threshold"]


def network(coding: str = "spikes") -> Network:
    """A first layer without a bias, a projection with a bias, an identity, a pooled layer, two linear ones."""
    layers = [
        conv(6),
        conv(6, shortcut=1, projection=True, bias=True),
        conv(6, shortcut=2, bias=True),
        conv(8, pool=2, bias=True),
        {"linear": {"channels": 9, "bias": True}},
        {"linear": {"channels": 4, "bias": True}},
    ]
    source = {"shape": [8, 8, 3], "coding": coding} | ({"exponent": 8} if coding == "direct" else {})
    raw = {"input": source, "timesteps": 3, "neuron": NEURON, "normalise": True, "layers": layers}
    return parse_network(raw, "normalised")


def images(of: Network) -> np.ndarray:
    rng = np.random.default_rng(5)
    if of.input.coding == "direct":
        return rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    return (rng.random((3, 6, 8, 8, 3)) < 0.3).astype(np.uint8)


def sums_by_part(of: Network, weights: tuple[Floats, ...], inputs: np.ndarray) -> dict[int, np.ndarray]:
    """Sums of every weight tensor alone, by channel [positions, M], under the given weights."""
    stored = tuple(round_to(matrix, ARITHMETIC.value) for matrix in weights)
    activity: dict[int, Activity] = {}
    found = {}
    for number in of.hidden:
        for part in of.parts(number):
            sums = part_sums(of, ARITHMETIC, stored[part], part, inputs, activity)
            found[part] = sums.reshape(-1, sums.shape[-1]).astype(np.float64)
        activity[number] = layer_activity(of, ARITHMETIC, stored, number, inputs, activity, {})
    return found


@pytest.mark.parametrize("coding", ["spikes", "direct"])
def test_every_channel_has_mean_0_and_the_threshold_as_deviation(coding: str) -> None:
    of = network(coding)
    inputs = images(of)
    sums = sums_by_part(of, normalised_weights(of, ARITHMETIC, initial_weights(of, 1), inputs), inputs)
    for number in of.hidden:
        bias, branches = of.bias(number), [part for part in of.parts(number) if part != of.bias(number)]
        added = len(branches) + (of.layers[number].identity is not None)
        for part in branches:
            size = sums[part].std(0) if bias is not None else np.sqrt(np.square(sums[part]).mean(0))
            np.testing.assert_allclose(size, THRESHOLD / np.sqrt(added), rtol=1e-5)
        if bias is not None:
            mean = sum(sums[part].mean(0) for part in of.parts(number))
            np.testing.assert_allclose(mean, 0.0, atol=1e-6)
            assert np.abs(sums[bias]).max() > 1e-3  # there was a mean to take away


def test_branches_of_a_layer_share_its_deviation() -> None:
    of = network()
    names = [of.layers[part].name for part in of.parts(of.main[1])]
    assert names == ["bias2", "projection2", "conv2"]
    assert of.layers[of.main[2]].identity == of.main[1]


def test_silent_channels_and_the_last_layer_stay() -> None:
    of = network()
    weights = list(initial_weights(of, 1))
    weights[0][2] = 0.0
    found = normalised_weights(of, ARITHMETIC, tuple(weights), images(of))
    assert not found[0][2].any()
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[-1], weights[-1])
    silent = np.zeros_like(images(of))
    for before, after in zip(weights, normalised_weights(of, ARITHMETIC, tuple(weights), silent), strict=True):
        np.testing.assert_array_equal(after, before)


def test_inputs_that_do_not_fit() -> None:
    of = network()
    with pytest.raises(InputError, match=r"^normalised: inputs: wrong shape, got \(3, 6, 8, 8, 2\), allowed: "):
        normalised_weights(of, ARITHMETIC, initial_weights(of, 1), images(of)[..., :2])


def test_sums_are_normalised_to_a_threshold_above_0() -> None:
    content = network().to_dict()
    content["neuron"]["threshold"] = 0.0
    with pytest.raises(InputError, match=r"^f: neuron: threshold: sums are normalised to the threshold, .* got 0\.0$"):
        parse_network(content, "f")


class TestTraining:
    digits = parse_network(
        {
            "input": {"shape": [8, 8, 1], "exponent": 4},
            "timesteps": 2,
            "normalise": True,
            "layers": [conv(4), {"linear": {"channels": 12, "bias": True}}, {"linear": 10}],
        },
        "digits",
    )
    settings = TrainingSettings(digits, 30, 30, batch=40, seed=3)

    def test_both_learners_start_from_the_same_weights(self) -> None:
        machine = make_learner(self.settings).initial_state()
        baseline = make_learner(replace(self.settings, learner=FLOAT32)).initial_state()
        for ours, theirs, wanted in zip(machine.master, baseline.master, starting_weights(self.settings), strict=True):
            np.testing.assert_array_equal(ours, wanted)
            np.testing.assert_array_equal(theirs, wanted)

    def test_the_seed_and_the_first_images_decide(self) -> None:
        again, other = (starting_weights(replace(self.settings, seed=seed)) for seed in (3, 4))
        np.testing.assert_array_equal(again[0], starting_weights(self.settings)[0])
        assert (again[0] != other[0]).any()
        plain = starting_weights(replace(self.settings, network=replace(self.digits, normalise=False)))
        np.testing.assert_array_equal(plain[0], initial_weights(self.digits, 3)[0])

    def test_training_goes_on_from_them(self) -> None:
        learner = MachineLearner(self.settings)
        state = learner.initial_state()
        batch = next(self.settings.dataset.epoch_batches(3, 0, 40))
        losses = []
        for step in range(1, 31):
            outcome = learner.step(state, batch.images, batch.labels, self.settings.optimiser(step, 12), step, False)
            state = outcome.state
            losses.append(outcome.loss)
        assert losses[-1] < 0.7 * losses[0]
