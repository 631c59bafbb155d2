"""What a step does around its arithmetic: skipped steps, counts, the state it leaves, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32
from rtl_models.reference import lut
from rtl_models.reference.threads import set_threads
from tests.workloads.test_training_step import RATES, moving_state, random_inputs, small_network
from workloads import forward
from workloads.record import Arithmetic, StepRecord
from workloads.training_step import (
    TrainingState,
    forward_logits,
    initial_state,
    state_after,
    state_of,
    train_step,
    training_step,
)

NETWORK = small_network("direct", exponent=8)
ARITHMETIC = Arithmetic(micro_batch=2)
INPUTS = random_inputs(NETWORK, 3, np.random.default_rng(1))
LABELS = np.array([0, 3, 1])
STATE = moving_state(NETWORK, ARITHMETIC, np.random.default_rng(2))


def run(state: TrainingState = STATE, arithmetic: Arithmetic = ARITHMETIC, dynamic: bool = False) -> StepRecord:
    return training_step(NETWORK, arithmetic, state, INPUTS, LABELS, replace(RATES, dynamic_scale=dynamic), 4, 5, "six")


def bits_of(record: StepRecord) -> list[bytes]:
    names = ("weight_gradient", "new_weights", "new_master", "new_momentum", "gradients")
    return [getattr(layer, name).tobytes() for layer in record.layers for name in names]


def test_the_record_carries_what_went_in() -> None:
    record = run()
    assert (record.step, record.seed, record.dataset, record.skipped) == (4, 5, "six", False)
    assert record.optimiser.scale_log2 == STATE.scale_log2 == 10
    assert record.inputs is INPUTS
    assert record.labels is LABELS
    assert record.layers[-1].potentials is record.layers[-1].spikes is record.layers[-1].masks is None
    assert record.layers[-1].gradients.shape == (3, 1, 1, 4)
    keys = ["forward_tables", "update_tables", "u", "du", "d16", "dW", "W16"]
    assert list(record.layers[0].nonfinite) == list(record.layers[0].subnormal) == keys
    assert [key for key in keys if key != "d16"] == list(record.layers[1].nonfinite)


def test_plain_training_leaves_the_same_state_as_the_record() -> None:
    record, result = run(), train_step(NETWORK, ARITHMETIC, STATE, INPUTS, LABELS, RATES)
    after = state_after(record, STATE)
    for name in ("master", "momentum", "weights"):
        pairs = zip(getattr(after, name), getattr(result.state, name), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert (result.loss, result.skipped) == (record.loss, record.skipped)
    assert result.nonfinite == tuple(layer.nonfinite for layer in record.layers)
    assert result.subnormal == tuple(layer.subnormal for layer in record.layers)


def test_evaluation_gives_the_steps_logits() -> None:
    assert np.array_equal(forward_logits(NETWORK, ARITHMETIC, STATE.weights, INPUTS), run().logits)


def test_a_step_with_an_overflow_is_reported_and_changes_nothing() -> None:
    state = replace(STATE, scale_log2=30)
    record = run(state)
    assert record.skipped
    assert sum(record.layers[-1].nonfinite.values()) > 0
    after = state_after(record, state)
    assert after == state
    assert all(layer.new_master is layer.master for layer in record.layers)


def test_an_overflow_of_the_new_weights_alone_is_a_skipped_step() -> None:
    momentum = tuple(np.full(v.shape, -1e6, np.float32) for v in STATE.momentum)
    record = run(replace(STATE, momentum=momentum))
    counts = [layer.nonfinite for layer in record.layers]
    assert record.skipped
    assert all(count.pop("W16") > 0 for count in counts)
    assert not any(any(count.values()) for count in counts)
    assert all(np.array_equal(layer.new_weights, layer.weights) for layer in record.layers)


@pytest.mark.parametrize(("scale_log2", "wanted"), [(30, (29, 0)), (10, (10, 8))])
def test_the_dynamic_scale_moves_on_through_both_ways(scale_log2: int, wanted: tuple[int, int]) -> None:
    state = replace(STATE, scale_log2=scale_log2, finite_steps=7)
    after = state_after(run(state, dynamic=True), state)
    result = train_step(NETWORK, ARITHMETIC, state, INPUTS, LABELS, replace(RATES, dynamic_scale=True))
    assert (after.scale_log2, after.finite_steps) == wanted
    assert (result.state.scale_log2, result.state.finite_steps) == wanted


def test_a_small_loss_scale_leaves_subnormal_gradients() -> None:
    record = run(replace(STATE, scale_log2=-8))
    gradients = np.abs(record.layers[0].gradients)
    counted = int(((gradients > 0) & (gradients < 2.0**-14)).sum())
    assert record.layers[0].subnormal["du"] == counted > 0


NARROW = replace(ARITHMETIC, sum=BINARY16)  # where sums are binary32, so small a network adds up exactly in any order


@pytest.mark.parametrize(
    "changed", [{"micro_batch": 1}, {"k": 2}, {"lanes": 2}, {"sum": BINARY32}, {"value": BFLOAT16, "sum": BFLOAT16}]
)
def test_formats_k_lanes_and_micro_batch_change_bits(changed: dict[str, Any]) -> None:
    assert bits_of(run(arithmetic=NARROW)) == bits_of(run(arithmetic=replace(NARROW)))
    assert bits_of(run(arithmetic=NARROW)) != bits_of(run(arithmetic=replace(NARROW, **changed)))


def test_threads_and_block_sizes_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = bits_of(run())
    try:
        set_threads(3)
        for module, name in ((lut, "_LEAST_LOOKUPS"), (lut, "_TABLE_BYTES"), (forward, "_INDEX_BYTES")):
            monkeypatch.setattr(module, name, 1)
        assert bits_of(run()) == wanted
    finally:
        set_threads(0)


def test_initial_weights_are_seeded_and_scaled() -> None:
    states = [initial_state(NETWORK, ARITHMETIC, seed) for seed in (1, 1, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(states[0].master, states[1].master, strict=True))
    assert not np.array_equal(states[0].master[0], states[2].master[0])
    assert states[0].scale_log2 == 12
    assert not any(v.any() for v in states[0].momentum)
    big = small_network("spikes")
    weights = initial_state(big, ARITHMETIC, 1).master[2]
    assert np.std(weights) * np.sqrt(big.layers[2].elements) == pytest.approx(0.5, rel=0.25)
    gained = initial_state(replace(big, initial_gain=2.0), Arithmetic(value=BINARY32), 1)
    assert np.allclose(gained.master[2], 4 * weights)


SPIKES = small_network("spikes")
GOOD_SPIKES = random_inputs(SPIKES, 2, np.random.default_rng(1))
SIGNED = small_network("direct", exponent=7, signed=True)


@pytest.mark.parametrize(
    ("network", "inputs", "labels", "words"),
    [
        (NETWORK, INPUTS.astype(np.int8), LABELS, "small: inputs: wrong type of elements, got 'int8', allowed: uint8"),
        (SIGNED, INPUTS, LABELS, "small: inputs: wrong type of elements, got 'uint8', allowed: int8"),
        (NETWORK, INPUTS[:0], LABELS, r"small: inputs: wrong shape, got \(0, 4, 3, 3\), allowed: \[B, 4, 3, 3\]"),
        (SPIKES, INPUTS, LABELS, r"small: inputs: wrong shape, got .*, allowed: \[3, B, 4, 3, 3\]"),
        (SPIKES, GOOD_SPIKES * 2, LABELS[:2], "small: inputs: not a spike, got 2, allowed: 0, 1"),
        (NETWORK, INPUTS, LABELS[:2], r"small: labels: wrong shape, got \(2,\), allowed: \(3,\)"),
        (NETWORK, INPUTS, np.array([0, 4, 1]), r"small: labels: no such class, got 4, allowed: 0\.\.3"),
        (NETWORK, INPUTS, np.array([0, -1, 1]), r"small: labels: no such class, got -1, allowed: 0\.\.3"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(network, inputs, labels, words) -> None:  # type: ignore[no-untyped-def]
    state = initial_state(network, ARITHMETIC, 1)
    with pytest.raises(InputError, match=f"^{words}$"):
        training_step(network, ARITHMETIC, state, inputs, labels, RATES)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"^small: wrong number of weight arrays, got 1, allowed: 4$"):
        state_of(NETWORK, ARITHMETIC, STATE.master[:1])
    wrong = (STATE.master[0][:, :1], *STATE.master[1:])
    with pytest.raises(
        InputError, match=r"^conv1: wrong shape of weights, got \(5, 1, 2, 3\), allowed: \(5, 3, 2, 3\)$"
    ):
        state_of(NETWORK, ARITHMETIC, wrong)
