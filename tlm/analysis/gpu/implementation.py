"""Element-wise kernels of neurons and norms, as published code launches them: data, read from a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlm.analysis.gpu.data import package_yaml

NEURONS, NORMS = "neurons", "norms"


@dataclass(frozen=True)
class ElementKernel:
    """One kernel over the elements of a layer: values, mask bytes and operations per element.

    `per_layer`: launched once instead of at every timestep; `later`: not at the first timestep. What is counted `_all`
    is per element of all timesteps.
    """

    name: str
    per_layer: bool = False
    later: bool = False
    reads: int = 0
    writes: int = 0
    mask_reads: int = 0
    mask_writes: int = 0
    flop: int = 0
    reads_all: int = 0
    writes_all: int = 0
    flop_all: int = 0

    def launches(self, timesteps: int) -> int:
        """How often it is launched for one layer."""
        if self.per_layer:
            return 1
        return timesteps - 1 if self.later else timesteps

    def bytes_per_launch(self, elements: int, timesteps: int, value_bytes: int) -> int:
        """Bytes that one launch moves for `elements` elements of a timestep."""
        values = self.reads + self.writes + timesteps * (self.reads_all + self.writes_all)
        return elements * (values * value_bytes + self.mask_reads + self.mask_writes)

    def flop_per_launch(self, elements: int, timesteps: int) -> int:
        """Operations of one launch for `elements` elements of a timestep."""
        return elements * (self.flop + timesteps * self.flop_all)


@dataclass(frozen=True)
class Implementation:
    """How a neuron or a norm is computed: kernels forward and backward, and what stays for the backward pass."""

    name: str
    source: str
    forward: tuple[ElementKernel, ...]
    backward: tuple[ElementKernel, ...]
    saved_every: int
    saved_later: int

    def saved_values(self, timesteps: int) -> int:
        """Values per element that are kept over all timesteps until the backward pass."""
        return self.saved_every * timesteps + self.saved_later * (timesteps - 1)


def implementation_names(kind: str) -> list[str]:
    """Return the names of the implementations of "neurons" or "norms"."""
    return list(package_yaml("implementations.yaml")[kind])


def load_implementation(kind: str, name: str) -> Implementation:
    """Return an implementation by its name, which must exist."""
    raw = package_yaml("implementations.yaml")[kind][name]
    saved = raw["saved"]
    return Implementation(
        name=name,
        source=raw["source"],
        forward=tuple(_kernel(entry) for entry in raw["forward"]),
        backward=tuple(_kernel(entry) for entry in raw["backward"]),
        saved_every=saved["every"],
        saved_later=saved.get("later", 0),
    )


def _kernel(raw: Mapping[str, Any]) -> ElementKernel:
    counts = {key: value for key, value in raw.items() if key not in ("per", "later", "name")}
    return ElementKernel(str(raw["name"]), raw.get("per") == "layer", raw.get("later", False), **counts)
