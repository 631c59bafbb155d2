"""A trace with its non-zeros spread at random: as dense as the real one, and without any of its structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads.network import DIRECT
from workloads.record import Flags, Floats
from workloads.trace_file import ALL, Trace
from workloads.trace_statistics import PLANES

LAYER, TIMESTEP = "layer", "timestep"
_STREAMS = {name: number for number, name in enumerate(("inputs", "spikes", "masks", "gradients", "gradient_sums"))}

Array = NDArray[Any]


class SpreadTrace(Trace):
    """`trace` with the elements of each activation tensor in a random order; weights stay as they are.

    `by` "layer" shuffles a whole tensor, all images and timesteps of it; "timestep" each timestep by itself, so that
    its density stays what it was. Bytes of direct coding are shuffled bit by bit, over all bit planes or plane by
    plane. The order comes from `seed`, the layer and the tensor alone. Tensors are kept once they are shuffled.
    """

    def __init__(self, trace: Trace, by: str, seed: int) -> None:
        self.__dict__.update(vars(trace))
        self._real = trace
        self._by_timestep = by == TIMESTEP
        self._shuffle_seed = seed
        self._shuffled: dict[tuple[str, int], Array] = {}

    def inputs(self, samples: slice = ALL, timesteps: slice = ALL) -> NDArray[np.uint8] | NDArray[np.int8]:
        """Spikes as `Trace.inputs`, or bytes made of shuffled bits."""
        if self.network.input.coding == DIRECT:
            return self._get("inputs", -1, self._shuffled_bytes)[samples]
        return self._get("inputs", -1, self._real.inputs)[timesteps, samples]

    def spikes(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Flags:
        """As `Trace.spikes`."""
        return self._get("spikes", layer, lambda samples: self._real.spikes(layer, samples))[timesteps, samples]

    def masks(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Flags:
        """As `Trace.masks`."""
        return self._get("masks", layer, lambda samples: self._real.masks(layer, samples))[timesteps, samples]

    def gradients(self, layer: int, samples: slice = ALL, timesteps: slice = ALL) -> Floats:
        """As `Trace.gradients`."""
        owner = self.network.joined(layer)
        found = self._get("gradients", owner, lambda samples: self._real.gradients(owner, samples))
        return found[timesteps, samples] if found.ndim == 5 else found[samples]

    def gradient_sums(self, layer: int = 0, samples: slice = ALL) -> Floats:
        """As `Trace.gradient_sums`."""
        real = self._real
        return self._get("gradient_sums", layer, lambda samples: real.gradient_sums(layer, samples))[samples]

    def _get(self, name: str, layer: int, read: Callable[[slice], Array]) -> Array:
        key = name, layer
        if key not in self._shuffled:
            tensor = read(slice(0, self.batch))
            rng = np.random.default_rng([self._shuffle_seed, _STREAMS[name], layer + 1])
            timesteps = tensor.shape[0] if self._by_timestep and tensor.ndim == 5 else 1
            self._shuffled[key] = shuffle_rows(tensor, timesteps, rng)
        return self._shuffled[key]

    def _shuffled_bytes(self, samples: slice) -> Array:
        """Return bytes of shuffled bits; that `_get` shuffles them again makes no difference."""
        pixels = self._real.inputs(samples)
        rng = np.random.default_rng([self._shuffle_seed, len(_STREAMS)])
        planes = np.stack([(pixels.view(np.uint8) >> np.uint8(plane)) & np.uint8(1) for plane in range(PLANES)])
        planes = shuffle_rows(planes, PLANES if self._by_timestep else 1, rng)
        weights = (1 << np.arange(PLANES)).reshape(-1, 1, 1, 1, 1)
        pixels_again: Array = (planes * weights).sum(axis=0).astype(np.uint8).view(pixels.dtype)
        return pixels_again


def shuffle_rows(tensor: Array, rows: int, rng: np.random.Generator) -> Array:
    """Return `tensor` cut into `rows` equal parts along its first axis, each with its elements in a random order."""
    shuffled: Array = rng.permuted(tensor.reshape(rows, -1), axis=1)
    return shuffled.reshape(tensor.shape)
