"""Where streams come from: an engine names its streams of a trace, counts them, and tells what each must give."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tlm.config import Config
from tlm.cosim.hardware import Hardware, Results
from tlm.cosim.keys import StreamCount, StreamKey
from tlm.schedule.geometry import MicroBatch, micro_batches
from workloads.network import Layer, Network
from workloads.trace_file import Trace

Patterns = NDArray[np.unsignedinteger]
NOTHING: Patterns = np.zeros(0, np.uint32)


@dataclass(frozen=True)
class Expectation:
    """A task of the stream `key` and the results that must come of it.

    `from_results` and `in_trace` are the bit patterns of what follows from the results and of what the trace holds of
    it; both are empty where the trace holds nothing of it. Long streams come in parts.
    """

    key: StreamKey
    task: Any
    results: Results
    from_results: Patterns = field(default_factory=lambda: NOTHING)
    in_trace: Patterns = field(default_factory=lambda: NOTHING)
    part: int = 0

    @property
    def name(self) -> str:
        """The stream's name, with the part where there are several."""
        return f"{self.key} part {self.part}" if self.part else str(self.key)

    @property
    def trace_mismatches(self) -> NDArray[np.int64]:
        """Numbers of the values that differ, bit for bit, from what the trace holds."""
        return np.flatnonzero(self.from_results != self.in_trace)


@dataclass(frozen=True)
class StreamSize:
    """What a stream has at most: tiles, results and stall-free cycles."""

    tiles: int
    results: int
    cycles: int


class Engine(ABC):
    """One engine's share of a training step; keys are `StreamKey`s with rows and blocks counted from 0."""

    name: ClassVar[str]
    hardware: ClassVar[Hardware[Any, Any]]
    accumulates: ClassVar[bool] = False
    """Whether a stream goes on from the results of the micro-batch before."""

    def __init__(self, trace: Trace, config: Config) -> None:
        self.trace = trace
        self.config = config
        self.network = trace.network
        self.batches: tuple[MicroBatch, ...] = micro_batches(trace.batch, config.arithmetic.micro_batch)

    @classmethod
    def layers_of(cls, network: Network) -> list[int]:
        """Layers of a network that the engine works on."""
        return list(range(len(network.layers)))

    @classmethod
    @abstractmethod
    def geometry_of(cls, network: Network, batch: int, config: Config) -> Any:
        """Geometry of the unit that runs whole streams of `batch` samples.

        Raises InputError where the hardware cannot be built.
        """

    @property
    def layers(self) -> list[int]:
        """Layers that the engine works on."""
        return self.layers_of(self.network)

    @property
    def micro_batch_count(self) -> int:
        """Micro-batches of a step that the engine works on one by one."""
        return len(self.batches)

    @functools.cached_property
    def geometry(self) -> Any:
        """Geometry of the unit that runs whole streams; raises InputError where the hardware cannot be built."""
        return self.geometry_of(self.network, self.trace.batch, self.config)

    @abstractmethod
    def rows(self, layer: int, micro_batch: int) -> int:
        """Rows of a layer and micro-batch."""

    @abstractmethod
    def blocks(self, layer: int, micro_batch: int) -> int:
        """Blocks of a layer and micro-batch."""

    @abstractmethod
    def size(self, layer: int, micro_batch: int, block: int) -> StreamSize:
        """Size of the streams of a block, from shapes alone."""

    @abstractmethod
    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        """Yield what a stream is made of, part by part."""

    def hostile_key(self, layer: int, micro_batch: int, block: int, rng: np.random.Generator) -> StreamKey:
        """Return the stream of a micro-batch and block that is likeliest to go wrong: here any row."""
        return StreamKey(self.name, layer, micro_batch, int(rng.integers(self.rows(layer, micro_batch))), block)

    def keys(
        self, layer: int, micro_batches: tuple[int, ...] | None = None, rows: range | None = None
    ) -> list[StreamKey]:
        """Return the keys of a layer, micro-batches ascending; all of them, or those of some micro-batches and rows."""
        chosen = range(self.micro_batch_count) if micro_batches is None else micro_batches
        return [
            StreamKey(self.name, layer, micro_batch, row, block)
            for micro_batch in chosen
            for block in range(self.blocks(layer, micro_batch))
            for row in (rows if rows is not None else range(self.rows(layer, micro_batch)))
        ]

    def row_cycles(self, layer: int, micro_batch: int) -> int:
        """Stall-free cycles of all blocks of a row, at most."""
        return sum(self.size(layer, micro_batch, block).cycles for block in range(self.blocks(layer, micro_batch)))

    def count(self, layer: int) -> StreamCount:
        """Count what the engine has to do on a layer in the whole step."""
        streams = tiles = results = cycles = 0
        for micro_batch in range(self.micro_batch_count):
            rows = self.rows(layer, micro_batch)
            sizes = [self.size(layer, micro_batch, block) for block in range(self.blocks(layer, micro_batch))]
            streams += rows * len(sizes)
            tiles += rows * sum(size.tiles for size in sizes)
            results += rows * sum(size.results for size in sizes)
            cycles += rows * sum(size.cycles for size in sizes)
        return StreamCount(self.name, layer, self.network.layers[layer].name, streams, tiles, results, cycles)

    def samples(self, micro_batch: int) -> slice:
        """Samples of a micro-batch."""
        return self.batches[micro_batch].samples

    def layer(self, number: int) -> Layer:
        """The layer of this number."""
        return self.network.layers[number]
