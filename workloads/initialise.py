"""Starting weights of a network: seeded, or those of its file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workloads.network import CONSTANT, Network


def initial_weights(network: Network, seed: int) -> tuple[NDArray[np.float32], ...]:
    """Return one binary32 array [M, R, S, C] per layer, normal, mean 0, deviation gain / sqrt(R S C x window).

    Biases start at 0. A network that names a file of weights starts from these, whatever the seed; raises InputError if
    the file has changed.
    """
    if network.weights is not None:
        return network.weights.read(network.layers)
    generator = np.random.default_rng(seed)
    weights = []
    for layer in network.layers:
        gain = 0.0 if layer.source == CONSTANT else network.initial_gain
        deviation = gain / np.sqrt(layer.elements * layer.window)
        weights.append(generator.normal(0.0, deviation, layer.weights_shape).astype(np.float32))
    return tuple(weights)
