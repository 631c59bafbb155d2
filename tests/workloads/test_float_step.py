"""The floating-point step against its own loss: finite differences where no spike moves, and the machine's step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_models.formats import BINARY32
from tests.workloads.test_training_step import random_inputs, small_network
from workloads.float_step import (
    convolve,
    convolve_back,
    correlate,
    cross_entropy,
    float_logits,
    float_step,
    real_inputs,
    sgd_update,
)
from workloads.initialise import initial_weights
from workloads.network import Layer, Network
from workloads.record import Arithmetic, OptimiserConstants
from workloads.training_step import state_of, training_step

NETWORKS = {
    "spikes": small_network("spikes"),
    "bytes": small_network("direct", exponent=8),
    "signed bytes": small_network("direct", "linear", exponent=7, signed=True),
    "pooled spikes": small_network("spikes", "pool"),
    "pooled bytes": small_network("direct", "pool", exponent=8),
}


def example(network: Network, batch: int = 4) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    weights = tuple(2 * w.astype(np.float64) for w in initial_weights(network, 1))
    return weights, random_inputs(network, batch, rng), rng.integers(0, network.classes, batch)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_agrees_with_the_machine_in_binary32(name: str) -> None:
    """Where no spike or mask differs the two steps are within rounding of each other."""
    network = NETWORKS[name]
    weights, inputs, labels = example(network)
    arithmetic = Arithmetic(BINARY32, BINARY32, micro_batch=3)
    state = state_of(network, arithmetic, tuple(w.astype(np.float32) for w in weights), 0)
    rates = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), 0, False)
    record = training_step(network, arithmetic, state, inputs, labels, rates)
    step = float_step(network, weights, inputs, labels)
    np.testing.assert_allclose(record.logits, step.logits, rtol=1e-5, atol=1e-6)
    assert record.loss == pytest.approx(step.loss, rel=1e-5)
    for seen, wanted in zip(record.layers, step.layers, strict=True):
        if wanted.spikes is not None:
            assert np.array_equal(seen.spikes, wanted.spikes)
            assert np.array_equal(seen.masks, wanted.masks)
        for a, b in ((seen.gradients, wanted.gradients), (seen.weight_gradient, wanted.weight_gradient)):
            np.testing.assert_allclose(a.reshape(b.shape), b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("spikes", [(0, 0, 0, 0), (1, 0, 0, 3), (3, 0, 0, 5)]),
        ("pooled spikes", [(0, 0, 0, 0), (1, 1, 0, 2), (3, 0, 1, 1)]),
    ],
)
def test_the_last_layers_gradient_is_the_losss_slope(name: str, places: list[tuple[int, ...]]) -> None:
    """The only layer behind which nothing is discontinuous: finite differences of the loss by its weights."""
    network = NETWORKS[name]
    weights, inputs, labels = example(network)
    exact = float_step(network, weights, inputs, labels).layers[-1].weight_gradient
    assert np.abs(exact).max() > 1e-4
    for here in places:
        moved = []
        for step in (-1e-6, 1e-6):
            last = weights[-1].copy()
            last[here] += step
            moved.append(cross_entropy(float_logits(network, (*weights[:-1], last), inputs), labels)[0])
        assert (moved[1] - moved[0]) / 2e-6 == pytest.approx(exact[here], abs=1e-9)


def widened(layer: Layer, weights: np.ndarray) -> tuple[Layer, np.ndarray]:
    """The convolution without pooling that gives the same sums: a wider kernel and stride, its weights overlaid."""
    p, stride = layer.pool, layer.stride
    size = [extent + (p - 1) * stride for extent in weights.shape[1:3]]
    wide = np.zeros((weights.shape[0], *size, weights.shape[3]))
    for dy, dx in np.ndindex(p, p):
        at = (slice(dy * stride, dy * stride + weights.shape[1]), slice(dx * stride, dx * stride + weights.shape[2]))
        wide[:, *at] += weights
    return replace(layer, kernel_height=size[0], kernel_width=size[1], stride=p * stride, pool=1), wide


@pytest.mark.parametrize(("pool", "stride"), [(2, 1), (3, 1), (2, 2)])
def test_pooling_is_a_convolution_with_a_wider_kernel_and_stride(pool: int, stride: int) -> None:
    """All three convolutions of a step; a weight's gradient is that of every place where the wider kernel holds it."""
    side = 3 + (2 * pool - 1) * stride - 2  # planes of 2 x 2 windows
    layer = Layer("pooled", side, side, 3, 4, 3, 3, stride, 1, False, True, pool)
    rng = np.random.default_rng(4)
    weights, maps = rng.normal(size=layer.weights_shape), rng.normal(size=(2, 3, side, side, 3))
    gradients = rng.normal(size=(2, 3, 2, 2, 4))
    wide, wide_weights = widened(layer, weights)
    assert (wide.out_height, layer.out_height, layer.conv_height) == (2, 2, 2 * pool)
    np.testing.assert_allclose(convolve(layer, maps, weights), convolve(wide, maps, wide_weights), atol=1e-12)
    np.testing.assert_allclose(
        convolve_back(layer, gradients, weights), convolve_back(wide, gradients, wide_weights), atol=1e-12
    )
    by_place = correlate(wide, maps, gradients)
    total = np.zeros(layer.weights_shape)
    for dy, dx in np.ndindex(pool, pool):
        total += by_place[:, dy * stride : dy * stride + 3, dx * stride : dx * stride + 3]
    np.testing.assert_allclose(correlate(layer, maps, gradients), total, atol=1e-12)


def test_real_inputs_may_differ_from_timestep_to_timestep() -> None:
    network = NETWORKS["bytes"]
    weights, pixels, labels = example(network)
    same = np.repeat(real_inputs(network, pixels), network.timesteps, axis=0)
    once, repeated = (float_step(network, weights, inputs, labels) for inputs in (pixels, same))
    for a, b in zip(once.layers, repeated.layers, strict=True):
        np.testing.assert_allclose(a.weight_gradient, b.weight_gradient, atol=1e-15)
    moving = same * np.arange(1, network.timesteps + 1).reshape(-1, 1, 1, 1, 1)
    assert not np.allclose(float_logits(network, weights, moving), once.logits)


def test_float32_stays_float32() -> None:
    network = NETWORKS["bytes"]
    weights, pixels, labels = example(network)
    step = float_step(network, weights, pixels, labels, np.float32)
    assert step.logits.dtype == np.float32
    assert all(layer.weight_gradient.dtype == np.float32 for layer in step.layers)


def test_sgd_with_momentum_and_weight_decay() -> None:
    w, v, g = (np.array([value], np.float32) for value in (1.0, 0.5, 0.25))
    weights, momentum = sgd_update((w,), (v,), (g,), (0.5, 0.5, 0.125))
    assert momentum[0].tolist() == [0.625]
    assert weights[0].tolist() == [0.6875]
    assert weights[0].dtype == np.float32


def test_training_lowers_the_loss() -> None:
    network = NETWORKS["bytes"]
    weights, pixels, labels = example(network, 8)
    momentum = tuple(np.zeros_like(w) for w in weights)
    losses = []
    for _ in range(30):
        step = float_step(network, weights, pixels, labels)
        losses.append(step.loss)
        gradients = tuple(layer.weight_gradient for layer in step.layers)
        weights, momentum = sgd_update(weights, momentum, gradients, (0.1, 0.9, 0.0))
    assert losses[-1] < 0.7 * losses[0]
