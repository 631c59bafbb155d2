"""Starting weights of a network, seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workloads.network import Network

GAIN = 0.5  # standard deviation x sqrt(fan-in); keeps firing between 0.1 and 0.4 with the default neuron


def initial_weights(network: Network, seed: int) -> tuple[NDArray[np.float32], ...]:
    """Return one binary32 array [M, R, S, C] per layer, normal with mean 0 and deviation GAIN / sqrt(R S C)."""
    generator = np.random.default_rng(seed)
    return tuple(
        generator.normal(0.0, GAIN / np.sqrt(layer.elements), layer.weights_shape).astype(np.float32)
        for layer in network.layers
    )
