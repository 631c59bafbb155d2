"""Shortcuts: every bit by the oracle, gradients by forward differentiation, the network file and its mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32
from tests.workloads.residual import biased_network, conv, pooled_network, residual_network, wide_network
from tests.workloads.test_training_step import assert_equals_oracle, both, random_inputs
from workloads.float_step import cross_entropy, float_step
from workloads.initialise import initial_weights
from workloads.network import Network, parse_network
from workloads.record import Arithmetic
from workloads.trace_file import open_trace, write_trace

CASES = {
    "direct": (residual_network(timesteps=2, exponent=8), Arithmetic(k=3, lanes=2, micro_batch=1)),
    "signed, bfloat16": (
        residual_network(timesteps=2, exponent=7, signed=True),
        Arithmetic(BFLOAT16, BINARY32, 4, 4, 2),
    ),
    "spikes, bfloat16 sums": (residual_network("spikes", 2), Arithmetic(BFLOAT16, BFLOAT16, 2, 4, 2)),
    "pooled": (pooled_network(), Arithmetic(BFLOAT16, BINARY32, k=3, lanes=2, micro_batch=2)),
    "pooled, direct": (pooled_network("direct", exponent=8), Arithmetic(k=2, lanes=4, micro_batch=2)),
    "biased": (biased_network(), Arithmetic(BFLOAT16, BINARY32, k=3, lanes=2, micro_batch=2)),
    "biased, direct": (biased_network("direct", exponent=8), Arithmetic(k=2, lanes=4, micro_batch=1)),
    "spikes, binary16 sums": (wide_network(), Arithmetic(BINARY16, BINARY16, 4, 1, 8)),
}


@pytest.mark.parametrize("case", list(CASES))
def test_every_bit_follows_the_contract(case: str) -> None:
    network, arithmetic = CASES[case]
    record, oracle = both(network, arithmetic, batch=2, seed=5)
    assert_equals_oracle(record, oracle)
    assert all(record.layers[number].spikes.any() for number in network.hidden)  # type: ignore[union-attr]
    assert all(layer.weight_gradient.any() for layer in record.layers), "a layer without a gradient tests nothing"


def networks() -> st.SearchStrategy[Network]:
    """Chains of three convolutions of two or three channels, each with any shortcut that fits."""

    @st.composite
    def build(draw: Any) -> Network:
        coding = draw(st.sampled_from(["direct", "spikes"]))
        layers: list[dict[str, Any]] = [conv(draw(st.integers(1, 3)))]
        shapes = [(4, layers[0]["conv"]["channels"])]
        for _ in range(draw(st.integers(1, 3))):
            channels, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
            side = -(-shapes[-1][0] // stride)
            pool = draw(st.integers(1, 2)) if side % 2 == 0 else 1
            side, keys = side // pool, {"stride": stride, "pool": pool}
            shortcut = draw(st.integers(0, len(shapes)))
            projection = False
            if shortcut:
                projection = shapes[shortcut - 1] != (side, channels) or draw(st.booleans())
                shortcut = 0 if shapes[shortcut - 1][0] % side else shortcut
            layers.append(conv(channels, shortcut, projection, **keys))
            shapes.append((side, channels))
        raw = {
            "input": {"shape": [4, 4, 2], "coding": coding},
            "timesteps": draw(st.integers(1, 2)),
            "initial_gain": 1.5,
            "layers": [*layers, {"linear": 2}],
        }
        return parse_network(raw, "drawn")

    return build()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 5), st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(0, 2**16))
def test_any_residual_network_follows_the_contract(network: Network, k: int, lanes: int, micro: int, seed: int) -> None:
    assert parse_network(network.to_dict(), "again").layers == network.layers
    record, oracle = both(network, Arithmetic(BFLOAT16, BINARY32, k, lanes, micro), batch=2, seed=seed)
    assert_equals_oracle(record, oracle)


def slope(network: Network, weights: tuple[Any, ...], moves: tuple[Any, ...], inputs: Any, labels: Any) -> float:
    """The loss's slope along `moves`, forward: each tensor with its derivative, spikes by the surrogate's.

    Spikes [T, B, y, x, c] in, plain sums over taps: shares nothing with the step but the network's description.
    """
    neuron, layers = network.neuron, network.layers
    spikes: dict[int, tuple[Any, Any]] = {-1: (inputs.astype(float), np.zeros(inputs.shape))}

    def convolve(number: int) -> tuple[Any, Any]:
        layer = layers[number]
        ones = np.ones((*inputs.shape[:2], layer.in_height, layer.in_width, 1))
        taken = (ones, 0 * ones) if layer.source == -2 else spikes[layer.source]
        s, ds = (np.pad(a, [(0, 0), (0, 0)] + [(layer.padding,) * 2] * 2 + [(0, 0)]) for a in taken)
        x, dx = 0.0, 0.0
        for r, c in np.ndindex(layer.kernel_height, layer.kernel_width):
            rows = slice(r, r + layer.conv_height * layer.stride, layer.stride)
            columns = slice(c, c + layer.conv_width * layer.stride, layer.stride)
            here = (slice(None), slice(None), rows, columns)
            w, dw = weights[number][:, r, c], moves[number][:, r, c]
            cut = [a[here][:, :, : layer.conv_height, : layer.conv_width] for a in (s, ds)]
            x, dx = x + cut[0] @ w.T, dx + cut[0] @ dw.T + cut[1] @ w.T
        p = layer.pool
        return tuple(sum(a[:, :, i::p, j::p] for i in range(p) for j in range(p)) for a in (x, dx))  # type: ignore

    held: tuple[Any, Any] = (0.0, 0.0)
    for number, layer in enumerate(layers):
        x, dx = convolve(number)
        if layer.joins is not None:
            held = (held[0] + x, held[1] + dx)
            continue
        x, dx, held = x + held[0], dx + held[1], (0.0, 0.0)
        if layer.identity is not None:
            x, dx = x + spikes[layer.identity][0], dx + spikes[layer.identity][1]
        if number == len(layers) - 1:
            break
        s, ds = np.zeros(x.shape), np.zeros(x.shape)
        u = du = np.zeros(x.shape[1:])
        before = dbefore = np.zeros(x.shape[1:])
        for t in range(network.timesteps):
            u, du = (
                x[t] + neuron.alpha * u * (1 - before),
                dx[t] + neuron.alpha * (du * (1 - before) - u * dbefore),
            )
            s[t] = u > neuron.threshold
            ds[t] = neuron.beta * (np.abs(u - neuron.threshold) < neuron.interval) * du
            before, dbefore = s[t], ds[t]
        spikes[number] = (s, ds)
    logits, dlogits = x.mean(axis=0)[:, 0, 0], dx.mean(axis=0)[:, 0, 0]
    return float((cross_entropy(logits, labels)[1] * dlogits).sum() / len(labels))


@pytest.mark.parametrize(
    "network",
    [residual_network("spikes"), pooled_network(), wide_network(), biased_network()],
    ids=lambda network: network.name,
)
def test_gradients_are_those_of_forward_differentiation(network: Network) -> None:
    rng = np.random.default_rng(2)
    weights = tuple(w.astype(np.float64) for w in initial_weights(network, 4))
    inputs, labels = random_inputs(network, 3, rng), rng.integers(0, network.classes, 3)
    step = float_step(network, weights, inputs, labels)
    for number in range(len(weights)):
        moves = tuple(rng.normal(size=w.shape) * (n == number) for n, w in enumerate(weights))
        gradient = float((step.layers[number].weight_gradient * moves[number]).sum())
        assert gradient != 0.0
        assert gradient == pytest.approx(slope(network, weights, moves, inputs, labels), rel=1e-9)


def test_layers_know_their_neighbours() -> None:
    network = residual_network()
    assert [layer.name for layer in network.layers][4:6] == ["projection5", "conv5"]
    assert network.main == (0, 1, 2, 3, 5, 6, 7)
    assert network.hidden == network.main[:-1]
    assert [network.parts(number) for number in (3, 5)] == [(3,), (4, 5)]
    assert [network.joined(number) for number in (3, 4, 5)] == [3, 5, 5]
    assert network.consumers(2) == (3, 4)
    assert network.identities(0) == (2,)
    assert network.taken(5) == (3, 2)
    assert network.taken(2) == (1, 0)
    assert (network.layers[4].stride, network.layers[4].weights_shape) == (2, (5, 1, 1, 3))


def parse(*layers: dict[str, Any], coding: str = "direct") -> Network:
    return parse_network({"input": {"shape": [4, 4, 2], "coding": coding}, "timesteps": 2, "layers": [*layers]}, "net")


WRONG: list[tuple[list[dict[str, Any]], str]] = [
    (
        [conv(3), conv(4, shortcut=1), {"linear": 2}],
        r"net: layers\[2\]: conv: shortcut: layer 1 has another shape, got \[4, 4, 3\], "
        r"allowed: \[4, 4, 4\], this layer's output, or projection: true",
    ),
    (
        [conv(3), conv(3, padding=0), conv(3, shortcut=1, projection=True, kernel=[2, 1], padding=0), {"linear": 2}],
        r"net: layers\[3\]: conv: shortcut: no stride takes layer 1 to this layer's plane, got \[4, 4\], "
        r"allowed: a whole multiple of \[1, 2\], this layer's output, the same in both directions",
    ),
    ([conv(3, shortcut=1), {"linear": 2}], r"net: layers\[1\]: conv: shortcut: the first layer cannot have"),
    (
        [conv(3), conv(3, shortcut=2), {"linear": 2}],
        r"net: layers\[2\]: conv: shortcut: from: wrong value, got 2, .* 1..1",
    ),
    (
        [conv(3), {"conv": conv(3)["conv"] | {"shortcut": {}}}, {"linear": 2}],
        "shortcut: from: wrong value, got '?nothing",
    ),
    ([conv(3), {"conv": conv(3)["conv"] | {"shortcut": {"from": 1, "x": 1}}}, {"linear": 2}], "unknown key"),
    (
        [conv(3), {"conv": conv(3)["conv"] | {"shortcut": {"from": 1, "projection": 1}}}, {"linear": 2}],
        "projection: wrong value, got 1, allowed: true, false",
    ),
]


@pytest.mark.parametrize(("layers", "words"), WRONG)
def test_a_wrong_shortcut_is_named(layers: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(*layers)


def test_the_last_layer_takes_no_shortcut() -> None:
    with pytest.raises(InputError, match="the last layer cannot have a shortcut"):
        parse(conv(3), conv(3), conv(3, shortcut=1))


def test_a_trace_keeps_a_projections_gradients_once(tmp_path: Path) -> None:
    network = residual_network("spikes")
    record, _ = both(network, Arithmetic(k=3, lanes=2, micro_batch=1), batch=1, seed=5)
    write_trace(record, tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        assert set(trace.layer_tensors[4]) == {
            "weights", "master", "momentum", "weight_gradient", "new_weights", "new_master", "new_momentum"
        }  # fmt: skip
        np.testing.assert_array_equal(trace.gradients(4), trace.gradients(5))
        assert trace.sparsity(4).firing_rate is None
        assert trace.sparsity(4).nonzero_gradients == trace.sparsity(5).nonzero_gradients
        again = trace.record()
    for seen, wanted in zip(again.layers, record.layers, strict=True):
        for name, array in vars(wanted).items():
            np.testing.assert_array_equal(getattr(seen, name), array, name)
    assert set(record.layers[4].subnormal) == {"forward_tables", "update_tables", "dW", "W16"}


def test_biases_are_layers_that_always_fire() -> None:
    network = biased_network()
    assert parse_network(network.to_dict(), "again").layers == network.layers
    names = [layer.name for layer in network.layers]
    assert names == ["conv1", "bias2", "projection2", "conv2", "bias3", "conv3", "bias4", "fc4", "bias5", "fc5"]
    assert (network.parts(3), network.bias(3), network.projection(3)) == ((1, 2, 3), 1, 2)
    assert [network.joined(number) for number in (1, 2, 8)] == [3, 3, 9]
    assert (network.taken(3), network.consumers(0)) == ((0,), (2, 3))
    assert network.layers[1].weights_shape == (3, 1, 1, 1)
    assert not initial_weights(network, 0)[1].any()


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            [conv(3, bias=True), {"linear": 2}],
            r"net: layers\[1\]: the first layer cannot have a bias, .*a constant channel of the input",
        ),
        (
            [conv(3), {"linear": {"channels": 2, "bias": 1}}],
            r"layers\[2\]: bias: wrong value, got 1, allowed: true, false",
        ),
        ([conv(3), {"linear": {"bias": True}}], r"layers\[2\]: linear: wrong value, got .?nothing"),
        ([conv(3), {"linear": {"channels": 2, "b": True}}], r"layers\[2\]: linear: unknown key, got .?b"),
    ],
)
def test_a_wrong_bias_is_named(layers: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(*layers)


def test_another_order_of_a_layers_parts_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    network, arithmetic = biased_network(), Arithmetic(BFLOAT16, BFLOAT16, k=1, lanes=1, micro_batch=2)
    record, _ = both(network, arithmetic, batch=2, seed=5)
    parts = Network.parts
    monkeypatch.setattr(Network, "parts", lambda self, number: parts(self, number)[::-1])
    mutant, _ = both(network, arithmetic, batch=2, seed=5)
    assert not np.array_equal(mutant.layers[3].potentials, record.layers[3].potentials)  # type: ignore[arg-type]
