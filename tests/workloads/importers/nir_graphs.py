"""NIR graphs as snnTorch and SpikingJelly export them, with random weights, for the tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nir
import numpy as np

RNG = np.random.default_rng(11)
DT = 1e-4


def draw_anew() -> None:
    """Let the same numbers follow, whatever was drawn before."""
    RNG.bit_generator.state = np.random.default_rng(11).bit_generator.state


def random(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def lif(*shape: int, alpha: float = 0.9, dtype: type = np.float32, **changes: Any) -> nir.LIF:
    """Neurons as snnTorch exports them."""
    tau = dtype(DT) / (dtype(1) - dtype(alpha))
    values = {"tau": tau, "r": tau / dtype(DT), "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changes
    return nir.LIF(**{name: np.broadcast_to(np.asarray(value, dtype), shape) for name, value in values.items()})


def conv(inputs: int, outputs: int, **changes: Any) -> nir.Conv2d:
    settings = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "bias": np.zeros(outputs, np.float32)}
    return nir.Conv2d(None, random(outputs, inputs, 3, 3), **(settings | changes))


def pool(kind: type = nir.AvgPool2d, size: Any = 2, stride: Any = 2, padding: Any = 0) -> Any:
    return kind(*(np.broadcast_to(np.asarray(value), 2) for value in (size, stride, padding)))


def flatten() -> nir.Flatten:
    return nir.Flatten(None, 0, -1)


def graph(*nodes: Any, shape: Any = (1, 8, 8), outputs: int = 3) -> nir.NIRGraph:
    """A chain of nodes called n0, n1, .. between input and output."""
    named = {f"n{number}": node for number, node in enumerate(nodes)}
    named = {"input": nir.Input(None if shape is None else np.array(shape)), **named}
    named["output"] = nir.Output(np.array([outputs]))
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)), type_check=False)


def small_with(neurons: Any) -> nir.NIRGraph:
    """A convolution, these neurons, a linear layer."""
    return graph(conv(1, 4), neurons, flatten(), nir.Linear(random(3, 256)))


def small(*inner: Any, **named: Any) -> nir.NIRGraph:
    """conv, neurons, `inner`, flatten and a linear layer."""
    last = nir.Linear(random(3, 4 * (16 if any(isinstance(node, nir.AvgPool2d) for node in inner) else 64)))
    return graph(conv(1, 4), lif(4, 8, 8), *inner, flatten(), last, **named)


LAST = (flatten(), nir.Linear(random(3, 256)))

NETWORK: dict[str, Any] = {
    "name": "round",
    "input": {"shape": [8, 6, 3], "exponent": 4, "signed": True},
    "timesteps": 4,
    "neuron": {"alpha": 0.25, "threshold": 0.3, "interval": 0.4, "beta": 0.7},
    "initial_gain": 0.75,
}


def with_edges(*edges: tuple[str, str], last: Any = None) -> Callable[[], nir.NIRGraph]:
    """conv, neurons, conv (or `last`), neurons, flatten, linear as n0..n5, 4 channels each, and more edges."""

    def make() -> nir.NIRGraph:
        found = small(last or conv(4, 4), lif(4, 8, 8))
        found.nodes |= {"more": conv(4, 4), "third": lif(4, 8, 8), "pool": pool(), "scale": nir.Scale(np.full(1, 2.0))}
        found.nodes = {
            name: node for name, node in found.nodes.items() if name[0] in "nio" or any(name in e for e in edges)
        }
        found.edges += edges
        return found

    return make
