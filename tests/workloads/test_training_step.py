"""The training step equals, bit for bit, the contract written as nested loops over exact fractions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat
from tests.reference.oracle import OracleStep
from workloads.initialise import initial_weights
from workloads.network import Network, parse_network
from workloads.record import Arithmetic, OptimiserConstants, StepRecord
from workloads.training_step import TrainingState, state_of, training_step

RATES = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), 12, False)
NEURON = {"alpha": 0.3, "threshold": 0.25, "interval": 0.4, "beta": 1.5}


POOLED = [
    {"conv": {"channels": 5, "kernel": [3, 2], "stride": 1, "padding": 1, "pool": 2}},
    {"conv": {"channels": 3, "kernel": [2, 2], "padding": 1, "pool": 3}},
    {"conv": {"channels": 4, "kernel": [2, 2], "padding": 1, "pool": 2}},
]
"""Planes of 4 x 4, 3 x 3 and 2 x 2 on an input of 4 x 3: windows of 2 x 2, 3 x 3 and the whole plane."""


SUBTRACT = {"reset": "subtract"}
DETACHED = {"reset_gradient": False}


def small_network(
    coding: str, first: str = "conv", timesteps: int = 3, reset: dict[str, Any] | None = None, **source: Any
) -> Network:
    """Odd planes, a stride, channels that are no multiple of k, and two fully connected layers.

    `first`: "linear" leaves the convolutions out; "pool" pools each of three, the last over its whole plane.
    """
    layers: list[dict[str, Any]] = [
        {"conv": {"channels": 5, "kernel": [3, 2], "stride": 1, "padding": 1}},
        {"conv": {"channels": 3, "kernel": [3, 3], "stride": 2, "padding": 1}},
        {"linear": 6},
        {"linear": 4},
    ]
    raw = {
        "input": {"shape": [4, 3, 3], "coding": coding} | source,
        "timesteps": timesteps,
        "neuron": NEURON | (reset or {}),
        "initial_gain": 1.0 if first == "pool" else 0.5,
        "layers": {"conv": layers, "linear": layers[2:], "pool": POOLED}[first],
    }
    return parse_network(raw, "small")


def random_inputs(network: Network, batch: int, rng: np.random.Generator) -> np.ndarray:
    source = network.input
    shape = (source.height, source.width, source.channels)
    if source.coding == "spikes":
        return (rng.random((network.timesteps, batch, *shape)) < 0.4).astype(np.uint8)
    if source.signed:
        return rng.integers(-128, 128, (batch, *shape)).astype(np.int8)
    return rng.integers(0, 256, (batch, *shape)).astype(np.uint8)


def assert_same_bits(name: str, seen: Any, wanted: Any) -> None:
    """Equal numbers and equal signs of zero."""
    wanted = np.asarray(wanted, np.float32)
    assert seen.dtype == np.float32, name
    assert seen.shape == wanted.shape, name
    different = int((seen.view(np.uint32) != wanted.view(np.uint32)).sum())
    assert different == 0, f"{name}: {different} of {wanted.size} differ"


def assert_equals_oracle(record: StepRecord, oracle: OracleStep) -> None:
    assert np.array_equal(record.logits, oracle.logits)
    assert record.loss == pytest.approx(oracle.loss, rel=1e-13)
    for number, layer in enumerate(record.layers):
        if layer.spikes is not None:
            assert np.array_equal(layer.spikes, oracle.spikes[number])
            assert layer.masks is not None
            assert np.array_equal(layer.masks, oracle.masks[number])
            assert_same_bits("u", layer.potentials, oracle.potentials[number])
        for name in ("gradients", "weight_gradient", "new_master", "new_momentum", "new_weights"):
            assert_same_bits(f"{name}[{number}]", getattr(layer, name), getattr(oracle, name)[number])
    if record.layers[0].gradient_sums is not None:
        assert_same_bits("d16", record.layers[0].gradient_sums, oracle.gradient_sums)


def both(
    network: Network, arithmetic: Arithmetic, batch: int, seed: int, **rates: Any
) -> tuple[StepRecord, OracleStep]:
    rng = np.random.default_rng(seed)
    state = moving_state(network, arithmetic, rng)
    inputs = random_inputs(network, batch, rng)
    labels = rng.integers(0, network.classes, batch)
    optimiser = replace(RATES, **rates)
    record = training_step(network, arithmetic, state, inputs, labels, optimiser)
    return record, OracleStep(network, arithmetic, state, inputs, labels, optimiser)


def moving_state(network: Network, arithmetic: Arithmetic, rng: np.random.Generator) -> TrainingState:
    """A state in the middle of training: momentum is not zero, weights large enough to fire."""
    weights = (
        w if w.any() else rng.normal(0.0, 0.2, w.shape) for w in initial_weights(network, 3)
    )  # biases start at 0
    state = state_of(network, arithmetic, tuple(np.asarray(2 * w, np.float32) for w in weights))
    momentum = tuple(rng.normal(0.0, 0.01, w.shape).astype(np.float32) for w in state.master)
    return replace(state, momentum=momentum, scale_log2=10)


CASES = {
    "spikes, defaults": (small_network("spikes"), Arithmetic(micro_batch=2)),
    "direct, defaults": (small_network("direct", exponent=8), Arithmetic(micro_batch=2)),
    "direct, signed": (small_network("direct", exponent=7, signed=True), Arithmetic(k=3, lanes=4, micro_batch=2)),
    "direct, linear": (small_network("direct", "linear", exponent=8), Arithmetic(k=2, lanes=8, micro_batch=2)),
    "direct, linear, signed": (
        small_network("direct", "linear", exponent=7, signed=True),
        Arithmetic(BFLOAT16, BINARY32, k=4, lanes=2, micro_batch=3),
    ),
    "bfloat16": (small_network("direct", exponent=8), Arithmetic(BFLOAT16, BINARY32, lanes=2, micro_batch=2)),
    "bfloat16 sums": (small_network("direct", exponent=8), Arithmetic(BFLOAT16, BFLOAT16, k=5, lanes=4, micro_batch=2)),
    "binary16 sums": (small_network("spikes"), Arithmetic(BINARY16, BINARY16, k=8, lanes=16, micro_batch=8)),
    "binary32": (small_network("spikes", timesteps=2), Arithmetic(BINARY32, BINARY32, k=1, lanes=1, micro_batch=1)),
    "pooled spikes": (small_network("spikes", "pool"), Arithmetic(k=3, lanes=2, micro_batch=2)),
    "pooled bytes": (small_network("direct", "pool", exponent=8), Arithmetic(micro_batch=2)),
    "pooled signed bytes": (
        small_network("direct", "pool", exponent=7, signed=True),
        Arithmetic(BFLOAT16, BINARY32, k=2, lanes=4, micro_batch=2),
    ),
    "pooled, bfloat16 sums": (
        small_network("direct", "pool", exponent=8),
        Arithmetic(BFLOAT16, BFLOAT16, k=5, lanes=8, micro_batch=3),
    ),
    "pooled, binary16 sums": (small_network("spikes", "pool"), Arithmetic(BINARY16, BINARY16, lanes=2, micro_batch=8)),
    "pooled, binary32": (
        small_network("spikes", "pool", timesteps=2),
        Arithmetic(BINARY32, BINARY32, k=1, lanes=1, micro_batch=1),
    ),
    "subtract": (small_network("spikes", "linear", 5, SUBTRACT | {"reset_by": 0.7}), Arithmetic(k=3, micro_batch=2)),
    "subtract, binary16 sums": (small_network("spikes", "linear", 5, SUBTRACT), Arithmetic(BINARY16, BINARY16)),
    "subtract, detached": (small_network("spikes", "linear", 5, SUBTRACT | DETACHED), Arithmetic(lanes=4)),
    "detached": (small_network("spikes", "linear", 5, DETACHED), Arithmetic(BFLOAT16, BFLOAT16, k=2)),
    "one timestep": (small_network("direct", timesteps=1, exponent=8), Arithmetic(k=6, lanes=32, micro_batch=4)),
}


# what these combine, others above have in part, and networks that the property below draws
COMBINED = ("pooled signed bytes", "pooled, bfloat16 sums", "pooled, binary32")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in COMBINED else case for case in CASES]
)
def test_every_bit_follows_the_contract(case: str) -> None:
    network, arithmetic = CASES[case]
    record, oracle = both(network, arithmetic, batch=3, seed=5)
    assert_equals_oracle(record, oracle)
    assert any(layer.spikes is not None and layer.spikes.any() for layer in record.layers), "the case fires nowhere"
    assert all(layer.weight_gradient.any() for layer in record.layers), "a layer without a gradient tests nothing"


@st.composite
def pooled_networks(draw: st.DrawFn) -> Network:
    """Two layers on at most 5 x 5 x 2: a pooled convolution, then a linear one or one pooled over its whole plane."""
    height, width = draw(st.integers(2, 5)), draw(st.integers(2, 5))
    kernel = [draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width)))]
    stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 2))
    plane = [(side + 2 * padding - size) // stride + 1 for side, size in zip((height, width), kernel, strict=True)]
    pool = draw(st.sampled_from([p for p in (2, 3) if not (plane[0] % p or plane[1] % p)] or [1]))
    first = {"channels": draw(st.integers(1, 4)), "kernel": kernel, "stride": stride, "padding": padding, "pool": pool}
    last: dict[str, Any] = {"linear": 3}
    if plane[0] == plane[1] and draw(st.booleans()):
        last = {"conv": {"channels": 3, "kernel": [1, 1], "pool": plane[0] // pool}}
    source = draw(st.sampled_from([{"coding": "spikes"}, {"exponent": 8}, {"exponent": 7, "signed": True}]))
    raw = {
        "input": {"shape": [height, width, draw(st.integers(1, 2))]} | source,
        "timesteps": draw(st.integers(1, 2)),
        "neuron": NEURON,
        "layers": [{"conv": first}, last],
    }
    return parse_network(raw, "pooled")


@settings(max_examples=15)
@given(
    pooled_networks(),
    st.sampled_from([(BINARY16, BINARY32), (BFLOAT16, BINARY32), (BFLOAT16, BFLOAT16), (BINARY32, BINARY32)]),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4, 16]),
    st.integers(0, 2**32),
)
def test_every_bit_of_pooled_networks(
    network: Network, formats: tuple[FloatFormat, FloatFormat], k: int, lanes: int, seed: int
) -> None:
    record, oracle = both(network, Arithmetic(*formats, k=k, lanes=lanes, micro_batch=2), batch=3, seed=seed)
    assert_equals_oracle(record, oracle)
