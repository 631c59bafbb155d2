"""Indices and operands against the contract's order of receptive fields, positions and points."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_models.reference.packing import (
    bit_plane,
    forward_indices,
    forward_weights,
    update_gradients,
    update_indices,
)
from workloads.network import Layer

CONV = Layer("conv", 5, 4, 3, 2, 3, 2, 2, 1, False, True)
LINEAR = Layer("linear", 2, 3, 5, 4, 2, 3, 1, 0, True, True)
POOLED = Layer("pooled", 5, 4, 3, 2, 2, 3, 1, 1, False, True, 2)  # 6 x 4 positions, 3 x 2 windows
LAYERS = pytest.mark.parametrize("layer", [CONV, LINEAR, POOLED], ids=["conv", "linear", "pooled"])


def random_spikes(layer: Layer, timesteps: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    shape = (timesteps, samples, layer.in_height, layer.in_width, layer.in_channels)
    return rng.integers(0, 2, shape).astype(np.uint8)


def spike_at(layer: Layer, spikes: np.ndarray, point: tuple[int, ...], element: tuple[int, ...]) -> int:
    (t, b, oy, ox), (r, s, c) = point, element
    y, x = oy * layer.stride + r - layer.padding, ox * layer.stride + s - layer.padding
    inside = 0 <= y < layer.in_height and 0 <= x < layer.in_width
    return int(spikes[t, b, y, x, c]) if inside else 0


@LAYERS
@pytest.mark.parametrize(("k", "lanes"), [(1, 1), (2, 8), (4, 16), (8, 2)])
def test_forward_indices_follow_the_receptive_field(layer: Layer, k: int, lanes: int) -> None:
    spikes = random_spikes(layer, 2, 3)
    indices = forward_indices(layer, spikes, k, lanes)
    positions = list(np.ndindex(2, 3, layer.out_height, layer.out_width))
    per_tap = -(-layer.in_channels // k)
    assert indices.shape[0] == len(positions)
    assert indices.shape[1] % (lanes * layer.window) == 0
    for p, (t, b, y, x) in enumerate(positions):
        for i, (dy, dx) in enumerate(np.ndindex(layer.pool, layer.pool)):
            seen = np.split(indices[p], layer.window)[i]
            wanted = np.zeros_like(seen)
            for r, s, c in np.ndindex(layer.kernel_height, layer.kernel_width, layer.in_channels):
                group = (r * layer.kernel_width + s) * per_tap + c // k
                point = (t, b, layer.pool * y + dy, layer.pool * x + dx)
                wanted[group] |= spike_at(layer, spikes, point, (r, s, c)) << (c % k)
            assert np.array_equal(seen, wanted)


@LAYERS
def test_forward_weights_pad_channels_and_tiles_with_zeros(layer: Layer) -> None:
    k, lanes = 4, 8
    weights = np.random.default_rng(2).normal(size=layer.weights_shape).astype(np.float32)
    groups = forward_weights(layer, weights, k, lanes)
    per_tap = -(-layer.in_channels // k)
    wanted = np.zeros(groups.shape, np.float32)
    for m, r, s, c in np.ndindex(weights.shape):
        wanted[m, (r * layer.kernel_width + s) * per_tap + c // k, c % k] = weights[m, r, s, c]
    assert groups.shape[1] % lanes == 0
    assert np.array_equal(groups, wanted)


@LAYERS
@pytest.mark.parametrize(("k", "lanes"), [(1, 1), (3, 4), (4, 16), (8, 2)])
def test_points_run_time_backwards_and_planes_are_padded(layer: Layer, k: int, lanes: int) -> None:
    spikes = random_spikes(layer, 3, 2)
    shape = (3, 2, layer.out_height, layer.out_width, layer.out_channels)
    gradients = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    points: list[tuple[int, ...] | None] = []
    for t in (2, 1, 0):
        for b in range(2):
            points += [(t, b, y, x) for y in range(layer.conv_height) for x in range(layer.conv_width)]
            if not layer.fully_connected:
                points += [None] * (-len(points) % k)
    points += [None] * (-len(points) % (k * lanes))
    groups = update_gradients(layer, gradients, k, lanes)
    indices = update_indices(layer, spikes, k, lanes)
    elements = list(np.ndindex(layer.kernel_height, layer.kernel_width, layer.in_channels))
    assert groups.shape == (layer.out_channels, len(points) // k, k)
    assert indices.shape == (len(elements), len(points) // k)
    for i, point in enumerate(points):
        wanted = np.zeros(layer.out_channels)
        if point is not None:
            t, b, y, x = point
            wanted = gradients[t, b, y // layer.pool, x // layer.pool]
        assert np.array_equal(groups[:, i // k, i % k], wanted)
        for e, element in enumerate(elements):
            bit = 0 if point is None else spike_at(layer, spikes, point, element)
            assert (indices[e, i // k] >> (i % k)) & 1 == bit


@pytest.mark.parametrize(("plane", "wanted"), [(0, [0, 1, 1]), (1, [0, 0, 1]), (7, [1, 0, 1])])
def test_bit_planes_start_at_the_sign(plane: int, wanted: list[int]) -> None:
    pixels = np.array([1, -128, -1], np.int8).reshape(1, 1, 3, 1)
    assert bit_plane(pixels, plane).shape == (1, 1, 1, 3, 1)
    assert bit_plane(pixels, plane).reshape(-1).tolist() == wanted
