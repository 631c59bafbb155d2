"""The same training step in plain floating point: the oracle of the machine's step and the float32 baseline.

Convolutions are matrix products over unfolded receptive fields, so sums run in no particular order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from workloads.network import CONSTANT, DIRECT, INPUT, Layer, Network

Reals = NDArray[Any]  # float32 or float64


Activity = tuple[Reals, NDArray[np.uint8], NDArray[np.uint8]]  # u, s, f of one layer, [T, B, OH, OW, M]


@dataclass(frozen=True)
class FloatForward:
    """What the forward pass leaves: u, s, f of every spiking layer, and logits [B, classes]."""

    activity: dict[int, Activity]
    logits: Reals


@dataclass(frozen=True)
class FloatLayer:
    """One layer's tensors, [T, B, OH, OW, M] and dW [M, R, S, C]; the last layer and projections have no u, s and f.

    `gradients` are du, in the last layer the loss's gradient by x [1, B, 1, 1, M], the same for all t.
    """

    potentials: Reals | None
    spikes: NDArray[np.uint8] | None
    masks: NDArray[np.uint8] | None
    gradients: Reals
    weight_gradient: Reals


@dataclass(frozen=True)
class FloatStep:
    """Logits [B, classes], the batch's mean cross entropy, and every layer's tensors."""

    logits: Reals
    loss: float
    layers: tuple[FloatLayer, ...]


def real_inputs(network: Network, inputs: NDArray[Any], dtype: DTypeLike = np.float64) -> Reals:
    """Return inputs as numbers [T, B, H, W, C], or [1, B, H, W, C] where they are the same at every timestep.

    Bytes of a direct-coded network are scaled by 2^-exponent; reals and spikes stay as they are.
    """
    if network.input.coding == DIRECT and inputs.ndim == 4:
        scaled = inputs.astype(dtype) * np.asarray(2.0**-network.input.exponent, dtype)
        return np.asarray(scaled[np.newaxis], dtype)
    return np.asarray(inputs, dtype)


def float_step(
    network: Network,
    weights: tuple[Reals, ...],
    inputs: NDArray[Any],
    labels: NDArray[np.int64],
    dtype: DTypeLike = np.float64,
) -> FloatStep:
    """Run forward and backward in `dtype`; `inputs` are bytes, spikes, or reals [T, B, H, W, C] of any kind."""
    forward = float_forward(network, weights, inputs, dtype)
    return float_backward(network, weights, inputs, forward, labels, dtype)


def float_forward(
    network: Network, weights: tuple[Reals, ...], inputs: NDArray[Any], dtype: DTypeLike = np.float64
) -> FloatForward:
    """Run the forward pass alone."""
    activity: dict[int, Activity] = {}
    for number in network.main:
        sums = _forward_sums(network, number, weights, inputs, activity, dtype)
        if number in network.hidden:
            activity[number] = _fire(network, sums)
    return FloatForward(activity, np.asarray(sums.mean(axis=0)[:, 0, 0, :]))


def _forward_sums(
    network: Network,
    number: int,
    weights: tuple[Reals, ...],
    inputs: NDArray[Any],
    activity: dict[int, Activity],
    dtype: DTypeLike,
) -> Reals:
    """Return x [T, B, OH, OW, M] of a layer, shortcuts included; of direct coding [1, ...]."""
    layers, identity = network.layers, network.layers[number].identity
    parts = [
        convolve(layers[part], _maps(network, part, inputs, activity, dtype), np.asarray(weights[part], dtype))
        for part in network.parts(number)
    ]
    if identity is not None:
        parts.append(activity[identity][1].astype(dtype))
    sums = parts[0]
    for part_sums in parts[1:]:
        sums = sums + part_sums
    return sums


def _maps(
    network: Network, number: int, inputs: NDArray[Any], activity: dict[int, Activity], dtype: DTypeLike
) -> Reals:
    """Return what a layer's weights meet, [T, B, H, W, C]; of direct coding [1, ...]."""
    layer, source = network.layers[number], network.layers[number].source
    if source == CONSTANT:
        return np.ones((1, real_inputs(network, inputs, dtype).shape[1], layer.in_height, layer.in_width, 1), dtype)
    return real_inputs(network, inputs, dtype) if source == INPUT else activity[source][1].astype(dtype)


def float_backward(
    network: Network,
    weights: tuple[Reals, ...],
    inputs: NDArray[Any],
    forward: FloatForward,
    labels: NDArray[np.int64],
    dtype: DTypeLike = np.float64,
) -> FloatStep:
    """Run the backward pass of a forward pass, however that came about."""
    loss, errors = cross_entropy(forward.logits, labels)
    output = (errors / (labels.size * network.timesteps))[np.newaxis, :, np.newaxis, np.newaxis, :].astype(dtype)
    gradients = {len(network.layers) - 1: output}
    for number in reversed(network.hidden):
        sums = sums_from_above(network, weights, gradients, number, dtype)
        gradients[number] = _gradients(network, sums, forward.activity[number])
    layers = []
    for number, layer in enumerate(network.layers):
        du = gradients[network.joined(number)]
        maps = _maps(network, number, inputs, forward.activity, dtype)
        update = correlate(layer, *_share_timesteps(maps, du, network.timesteps))
        u, s, f = forward.activity.get(number, (None, None, None))
        layers.append(FloatLayer(u, s, f, du, update))
    return FloatStep(forward.logits, loss, tuple(layers))


def sums_from_above(
    network: Network, weights: tuple[Reals, ...], gradients: dict[int, Reals], number: int, dtype: DTypeLike
) -> Reals:
    """Return what the gradients of all that take a layer's spikes add up to there, [T, B, H, W, C] or [1, ...]."""
    parts = [
        convolve_back(network.layers[n], gradients[network.joined(n)], np.asarray(weights[n], dtype))
        for n in network.consumers(number)
    ]
    parts += [gradients[n] for n in network.identities(number)]
    sums = parts[0]
    for part in parts[1:]:
        sums = sums + part
    return sums


def float_logits(
    network: Network, weights: tuple[Reals, ...], inputs: NDArray[Any], dtype: DTypeLike = np.float64
) -> Reals:
    """Return the logits [B, classes] alone."""
    return float_forward(network, weights, inputs, dtype).logits


def sgd_update(
    weights: tuple[Reals, ...],
    momentum: tuple[Reals, ...],
    gradients: tuple[Reals, ...],
    rates: tuple[float, float, float],
) -> tuple[tuple[Reals, ...], tuple[Reals, ...]]:
    """Return (weights, momentum) after v = mu v + g + wd w, w = w - lr v; `rates` are lr, mu, wd."""
    rate, mu, decay = rates
    stepped = []
    for w, v, g in zip(weights, momentum, gradients, strict=True):
        kind = w.dtype.type
        velocity = kind(mu) * v + (g + kind(decay) * w if decay else g)
        stepped.append((w - kind(rate) * velocity, velocity))
    return tuple(w for w, _ in stepped), tuple(v for _, v in stepped)


def cross_entropy(logits: Reals, labels: NDArray[np.int64]) -> tuple[float, Reals]:
    """Return the mean cross entropy of logits [B, classes] and softmax - onehot."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(labels.size)
    errors = exponentials / totals
    errors[rows, labels] -= 1
    return float(np.mean(np.log(totals[:, 0]) - shifted[rows, labels])), errors


def convolve(layer: Layer, maps: Reals, weights: Reals) -> Reals:
    """Return x [T, B, OH, OW, M] of maps [T, B, H, W, C]."""
    matrix = weights.reshape(layer.out_channels, -1)
    sums = np.asarray(_unfold(layer, maps) @ matrix.T)
    if layer.pool == 1:
        return sums.reshape(*maps.shape[:2], layer.out_height, layer.out_width, layer.out_channels)
    windows = (layer.out_height, layer.pool, layer.out_width, layer.pool, layer.out_channels)
    return np.asarray(sums.reshape(*maps.shape[:2], *windows).sum(axis=(3, 5)))


def convolve_back(layer: Layer, gradients: Reals, weights: Reals) -> Reals:
    """Return what gradients [T, B, OH, OW, M] add up to at the layer's inputs, [T, B, H, W, C]."""
    columns = _spread(layer, gradients).reshape(-1, layer.out_channels) @ weights.reshape(layer.out_channels, -1)
    leading = gradients.shape[:2]
    if layer.fully_connected:
        return np.asarray(columns.reshape(*leading, layer.in_height, layer.in_width, layer.in_channels))
    taps = columns.reshape(-1, layer.conv_height, layer.conv_width, *layer.weights_shape[1:])
    height, width = layer.in_height + 2 * layer.padding, layer.in_width + 2 * layer.padding
    sums = np.zeros((taps.shape[0], height, width, layer.in_channels), columns.dtype)
    rows, cols = layer.conv_height * layer.stride, layer.conv_width * layer.stride
    for r in range(layer.kernel_height):
        for s in range(layer.kernel_width):
            sums[:, r : r + rows : layer.stride, s : s + cols : layer.stride][
                :, : layer.conv_height, : layer.conv_width
            ] += taps[:, :, :, r, s]
    inside = sums[:, layer.padding : layer.padding + layer.in_height, layer.padding : layer.padding + layer.in_width]
    return np.asarray(inside.reshape(*leading, layer.in_height, layer.in_width, layer.in_channels))


def correlate(layer: Layer, maps: Reals, gradients: Reals) -> Reals:
    """Return dW [M, R, S, C] of maps [T, B, H, W, C] and gradients [T, B, OH, OW, M]."""
    product = _spread(layer, gradients).reshape(-1, layer.out_channels).T @ _unfold(layer, maps)
    return np.asarray(product.reshape(layer.weights_shape))


def _spread(layer: Layer, gradients: Reals) -> Reals:
    """Return gradients [T, B, OH, OW, M] at every position of the convolution's plane."""
    if layer.pool == 1:
        return gradients
    return gradients.repeat(layer.pool, axis=2).repeat(layer.pool, axis=3)


def _unfold(layer: Layer, maps: Reals) -> Reals:
    """Return the receptive fields [positions of the convolution, R S C] of maps [T, B, H, W, C]."""
    planes = maps.reshape(-1, *maps.shape[2:])
    if layer.fully_connected:
        return planes.reshape(planes.shape[0], -1)
    p = layer.padding
    padded = np.pad(planes, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (layer.kernel_height, layer.kernel_width), axis=(1, 2))
    strided = windows[:, :: layer.stride, :: layer.stride].transpose(0, 1, 2, 4, 5, 3)
    return strided.reshape(-1, layer.elements)


def _share_timesteps(maps: Reals, gradients: Reals, timesteps: int) -> tuple[Reals, Reals]:
    """Bring inputs and gradients to the same timesteps where one of them is the same for all."""
    if maps.shape[0] == gradients.shape[0]:
        same = timesteps if maps.shape[0] == 1 else 1
        return maps, gradients * gradients.dtype.type(same)
    if maps.shape[0] == 1:
        return maps, gradients.sum(axis=0, keepdims=True)
    return maps.sum(axis=0, keepdims=True), gradients


def _fire(network: Network, sums: Reals) -> Activity:
    """Return u, s, f [T, ...] of x [T, ...], or of [1, ...] where x is the same for all t."""
    neuron, kind = network.neuron, sums.dtype.type
    alpha, threshold, interval = kind(neuron.alpha), kind(neuron.threshold), kind(neuron.interval)
    drop = kind(neuron.drop)
    shape = (network.timesteps, *sums.shape[1:])
    potentials, spikes, masks = np.empty(shape, sums.dtype), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    kept = np.zeros(shape[1:], sums.dtype)
    for t in range(network.timesteps):
        u = potentials[t]
        np.add(sums[min(t, sums.shape[0] - 1)], kept, out=u)
        spikes[t] = u > threshold
        masks[t] = np.abs(u - threshold) < interval
        kept = alpha * u - drop * spikes[t] if neuron.subtracts else alpha * u * (1 - spikes[t])
    return potentials, spikes, masks


def _gradients(network: Network, sums: Reals, state: Activity) -> Reals:
    """Return du [T, ...] of backward sums [T, ...] or [1, ...]."""
    potentials, spikes, masks = state
    neuron, kind = network.neuron, sums.dtype.type
    alpha, beta, drop = kind(neuron.alpha), kind(neuron.beta), kind(neuron.drop)
    gradients = np.empty_like(potentials)
    following = np.zeros(potentials.shape[1:], sums.dtype)
    for t in range(network.timesteps - 1, -1, -1):
        ds = sums[min(t, sums.shape[0] - 1)]
        if neuron.reset_gradient:
            ds = ds - (drop if neuron.subtracts else alpha * potentials[t]) * following
        kept = alpha * following if neuron.subtracts else alpha * (1 - spikes[t]) * following
        gradients[t] = beta * ds * masks[t] + kept
        following = gradients[t]
    return gradients
