"""Neuron, gradient unit, backward sums and optimiser: ties, gates, the theorem of exact sparsity, rounding."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_models.formats import BINARY16, BINARY32, round_to
from rtl_models.reference import backward
from rtl_models.reference.backward import backward_sums
from rtl_models.reference.gradient import gradient_unit, output_gradient, sum_over_time
from rtl_models.reference.neuron import neuron
from rtl_models.reference.optimiser import GROWTH_STEPS, next_scale, sgd
from rtl_models.reference.threads import set_threads, split, thread_count
from tests.reference.oracle import add, multiply
from tests.reference.test_lut import hostile
from workloads.network import Layer, NeuronConstants, NeuronParameters

ONE = np.float32
CONSTANTS = NeuronConstants.of(NeuronParameters())  # alpha 0.25, threshold 0.25, mask open from -0.25 to 0.75
LIF = (CONSTANTS.alpha, CONSTANTS.threshold, CONSTANTS.low, CONSTANTS.high)


def fire(sums: list[list[float]], timesteps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return neuron(np.array(sums, np.float32), timesteps, LIF, BINARY16, BINARY32)


def test_a_potential_at_the_threshold_does_not_fire_and_masks_are_open_intervals() -> None:
    above = float(np.nextafter(np.float16(0.25), np.float16(1)))
    inside = float(np.nextafter(np.float16(0.75), np.float16(0)))
    _, spikes, masks = fire([[0.25, above, -0.25, 0.75, inside, np.nan, np.inf]], 1)
    assert spikes.tolist() == [[0, 1, 0, 1, 1, 0, 1]]
    assert masks.tolist() == [[1, 1, 0, 0, 1, 0, 0]]


def test_a_spike_resets_and_the_rest_leaks() -> None:
    potentials, spikes, _ = fire([[1.0, 0.125]], 3)
    assert spikes.tolist() == [[1, 0], [1, 0], [1, 0]]
    assert potentials.tolist() == [[1.0, 0.125], [1.0, 0.15625], [1.0, 0.1640625]]


def test_a_reset_potential_that_is_not_finite_is_gated_not_multiplied() -> None:
    potentials, _, _ = fire([[np.inf], [0.125]], 2)
    assert potentials.tolist() == [[np.inf], [0.125]]


def test_a_stored_nan_is_canonical() -> None:
    payload = np.array([[0xFFC01234]], np.uint32).view(np.float32)
    potentials, _, _ = neuron(payload, 1, LIF, BINARY16, BINARY32)
    assert potentials.view(np.uint32).tolist() == [[0x7FC00000]]


def gradient(spike: int, mask: int, following: float, total: float) -> float:
    sums = np.array([[total], [0.0 if following == 0 else following]], np.float32)
    u = np.full((2, 1), 0.5, np.float32)
    spikes = np.array([[spike], [1]], np.uint8)
    masks = np.array([[mask], [1]], np.uint8)
    du = gradient_unit(sums, u, spikes, masks, (CONSTANTS.alpha, CONSTANTS.beta), BINARY16, BINARY32)
    assert du[1, 0] == following
    return float(du[0, 0])


@pytest.mark.parametrize(
    ("spike", "mask", "wanted"),
    [(0, 0, 0.25 * 2), (1, 0, 0.0), (0, 1, (3 - 0.125 * 2) + 0.25 * 2), (1, 1, 3 - 0.125 * 2)],
)
def test_spike_and_mask_gate_the_two_paths(spike: int, mask: int, wanted: float) -> None:
    assert gradient(spike, mask, 2.0, 3.0) == wanted


def test_a_closed_mask_stops_what_is_not_finite() -> None:
    assert gradient(1, 0, 2.0, np.inf) == 0.0


def test_gradients_over_time_are_added_backwards() -> None:
    """2^24 + 1 + 1 is 2^24 added in this order, 2^24 + 2 in the other."""
    du = np.array([[1.0], [1.0], [2.0**24]], np.float32)
    assert sum_over_time(du, BINARY32, BINARY32)[0] == 2.0**24
    assert sum_over_time(du[::-1].copy(), BINARY32, BINARY32)[0] == 2.0**24 + 2


def test_the_output_gradient_is_scaled_and_rounded_twice() -> None:
    logits = np.array([[0.0, 0.0], [1e4, -1e4]])
    g16, loss = output_gradient(logits, np.array([0, 0]), 12, 12, (BINARY32, BINARY16))
    assert loss == pytest.approx(np.log(2) / 2)
    assert g16.tolist() == [[float(np.float16(-2048 / 12)), float(np.float16(2048 / 12))], [0.0, 0.0]]


def naive_backward(layer: Layer, du: np.ndarray, weights: np.ndarray, skip: bool) -> np.ndarray:
    sums = np.zeros((du.shape[0], layer.in_height, layer.in_width, layer.in_channels), np.float32)
    for n, y, x, c in np.ndindex(sums.shape):
        acc = 0.0
        for r, s, m in np.ndindex(layer.kernel_height, layer.kernel_width, layer.out_channels):
            oy, ox = y + layer.padding - r, x + layer.padding - s
            if oy % layer.stride or ox % layer.stride:
                continue
            oy, ox = oy // layer.stride // layer.pool, ox // layer.stride // layer.pool
            if 0 <= oy < layer.out_height and 0 <= ox < layer.out_width and (du[n, oy, ox, m] != 0 or not skip):
                acc = add(acc, multiply(float(weights[m, r, s, c]), float(du[n, oy, ox, m]), BINARY32), BINARY32)
        sums[n, y, x, c] = acc
    return sums


@pytest.mark.parametrize("pool", [1, 3])
@pytest.mark.parametrize(("density", "channels"), [(0.0, 5), (0.3, 5), (1.0, 5), (0.5, 35)])
def test_leaving_out_zero_gradients_changes_no_bit(density: float, channels: int, pool: int) -> None:
    """Both zeros among the gradients, hostile weights: the full sum, the sparse sum and the kernel agree."""
    rng = np.random.default_rng(5)
    layer = Layer("conv", 6, 5, channels, 6, 3, 2, 2, 1, False, True, pool)  # 3 x 3 positions
    weights = hostile(rng, layer.weights_shape, BINARY16)
    shape = (2, layer.out_height, layer.out_width, layer.out_channels)
    zeros = rng.choice(np.array([0.0, -0.0], np.float32), shape)
    du = np.where(rng.random(shape) < density, hostile(rng, shape, BINARY16), zeros).astype(np.float32)
    full, sparse = (naive_backward(layer, du, weights, skip) for skip in (False, True))
    seen = backward_sums(layer, du, weights, BINARY32)
    assert np.array_equal(full.view(np.uint32), sparse.view(np.uint32))
    assert np.array_equal(seen.view(np.uint32), full.view(np.uint32))


def test_the_order_of_backward_sums_is_seen() -> None:
    """The mutant that runs over m backwards gives other bits on the operands of the test above."""
    rng = np.random.default_rng(5)
    layer = Layer("linear", 1, 1, 64, 32, 1, 1, 1, 0, True, True)
    weights, du = hostile(rng, layer.weights_shape, BINARY16), hostile(rng, (1, 1, 1, 32), BINARY16)
    mutant = backward_sums(layer, du[..., ::-1].copy(), weights[::-1].copy(), BINARY32)
    assert (mutant != backward_sums(layer, du, weights, BINARY32)).mean() > 0.2


def test_threads_change_no_bit_of_the_backward_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "_LEAST_MACS", 1)
    rng = np.random.default_rng(6)
    layer = Layer("conv", 9, 9, 4, 6, 3, 3, 1, 1, False, True)
    weights, du = hostile(rng, layer.weights_shape, BINARY16), hostile(rng, (2, 9, 9, 6), BINARY16)
    results = []
    try:
        for threads in (1, 3):
            set_threads(threads)
            assert thread_count() == threads
            results.append(backward_sums(layer, du, weights, BINARY32).tobytes())
    finally:
        set_threads(0)
    assert results[0] == results[1]


def test_work_is_split_without_gap_or_overlap() -> None:
    try:
        set_threads(4)
        assert split(10) == [(0, 3), (3, 6), (6, 9), (9, 10)]
        assert split(10, least=5) == [(0, 5), (5, 10)]
        assert split(10, multiple=4) == [(0, 4), (4, 8), (8, 10)]
        assert split(0) == [(0, 0)]
    finally:
        set_threads(0)


def test_one_optimiser_step() -> None:
    """Every operation is rounded once to binary32: the same as scalar arithmetic, in this order."""
    rng = np.random.default_rng(8)
    w, v, dW = (rng.normal(size=50).astype(np.float32) for _ in range(3))
    rate, mu, decay = ONE(0.1), ONE(0.9), ONE(1e-3)
    new_w, new_v, w16 = sgd(w, v, dW, (rate, mu, decay), 12, BINARY16)
    for i in range(50):
        g = ONE(ONE(dW[i] * ONE(2.0**-12)) + ONE(decay * w[i]))
        velocity = ONE(ONE(mu * v[i]) + g)
        assert new_v[i] == velocity
        assert new_w[i] == ONE(w[i] - ONE(rate * velocity))
    assert np.array_equal(w16, round_to(new_w, BINARY16))


def test_no_weight_decay_leaves_minus_zero_alone() -> None:
    """With decay 0 there is no addition: a gradient of -0 stays -0 in v."""
    minus = np.array([-0.0], np.float32)
    _, v, _ = sgd(np.ones(1, np.float32), minus, minus, (ONE(0.1), ONE(0.9), ONE(0.0)), 0, BINARY16)
    assert np.signbit(v[0])


def test_the_dynamic_loss_scale() -> None:
    assert next_scale(12, 5, skipped=True) == (11, 0)
    assert next_scale(12, 5, skipped=False) == (12, 6)
    assert next_scale(12, GROWTH_STEPS - 2, skipped=False) == (12, GROWTH_STEPS - 1)
    assert next_scale(12, GROWTH_STEPS - 1, skipped=False) == (13, 0)
