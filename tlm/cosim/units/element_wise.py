"""What the element-wise units (neuron, gradient, weight gradient, optimiser) have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask, pipeline_outputs, pipeline_stimulus
from rtl_models.units import Response, Stimulus, Unit
from tlm.config import Config
from tlm.cosim.engine import Engine, StreamSize
from tlm.cosim.hardware import Hardware, Results, Transfers
from tlm.cosim.stalls import Stalls
from tlm.engines.pipeline_law import PipelineTiming
from workloads.network import Network

LONGEST_STREAM = 1 << 14  # elements of a stream
LONGEST_SHORT_TASK = 24  # elements simulated in MyHDL


class ElementWise(Hardware[PipelineGeometry, PipelineTask]):
    """A pipeline that takes an element a cycle; a tile is the elements of one set of constants."""

    sources = ("constants", "element")
    sink = "out"
    geometry_type = PipelineGeometry
    task_type = PipelineTask

    def __init__(
        self,
        name: str,
        unit: Callable[[PipelineGeometry], Unit],
        reference: Callable[[PipelineTask, PipelineGeometry], dict[str, Payload]],
    ) -> None:
        self.name = name
        self._unit = unit
        self._reference = reference

    def unit(self, geometry: PipelineGeometry) -> Unit:
        return self._unit(geometry)

    def stimulus(self, geometry: PipelineGeometry, task: PipelineTask, stalls: Stalls) -> Stimulus:
        return pipeline_stimulus(self._unit(geometry), task, stalls.valid, stalls.ready)

    def reference(self, geometry: PipelineGeometry, task: PipelineTask) -> Results:
        return dict(self._reference(task, geometry))

    def law(self, geometry: PipelineGeometry, task: PipelineTask, stalls: Stalls) -> Transfers:
        cycles = PipelineTiming(geometry.latency_cycles).transfers(task.counts, stalls.valid, stalls.ready)
        return {"constants": cycles.constants, "element": cycles.element, "out": cycles.out}

    def outputs(self, geometry: PipelineGeometry, response: Response) -> Results:
        return dict(pipeline_outputs(response))

    def tiles(self, task: PipelineTask) -> int:
        return len(task.counts)

    def short_task(
        self, geometry: PipelineGeometry, task: PipelineTask, rng: np.random.Generator, at_plane: bool
    ) -> PipelineTask:
        """Some random elements, in two groups, so that the constants are loaded again."""
        length = int(np.sum(task.counts))
        chosen = np.sort(rng.choice(length, size=min(length, LONGEST_SHORT_TASK), replace=False))
        first = len(chosen) // 2
        counts = np.array([count for count in (first, len(chosen) - first) if count], np.int64)
        return PipelineTask(
            {name: _take(values, np.zeros(len(counts), np.int64)) for name, values in task.constants.items()},
            {name: _take(values, chosen) for name, values in task.elements.items()},
            counts,
        )


def _take(values: Payload, chosen: NDArray[np.int64]) -> Payload:
    """Return the chosen elements of a field."""
    taken: Payload = values[chosen]
    return taken


class ElementEngine(Engine):
    """An engine whose streams are blocks of at most `LONGEST_STREAM` elements."""

    fields: int
    """Output fields of an element."""

    @classmethod
    @abstractmethod
    def latency_cycles(cls, config: Config) -> int:
        """Latency of the unit, by the configuration."""

    @classmethod
    def any_reset(cls, config: Config) -> bool:
        """Whether the unit has a choice of resets, by the configuration."""
        return False

    @classmethod
    def geometry_of(cls, network: Network, batch: int, config: Config) -> PipelineGeometry:
        contract = config.contract
        return PipelineGeometry(contract.value, contract.sum, cls.latency_cycles(config), cls.any_reset(config))

    @abstractmethod
    def elements(self, layer: int, micro_batch: int) -> int:
        """Elements of one row (timestep) of a layer and micro-batch."""

    def rows(self, layer: int, micro_batch: int) -> int:
        return 1

    def blocks(self, layer: int, micro_batch: int) -> int:
        return -(-self.elements(layer, micro_batch) // LONGEST_STREAM)

    def block(self, layer: int, micro_batch: int, block: int) -> slice:
        """Elements of a block."""
        first = block * LONGEST_STREAM
        return slice(first, min(first + LONGEST_STREAM, self.elements(layer, micro_batch)))

    def size(self, layer: int, micro_batch: int, block: int) -> StreamSize:
        chosen = self.block(layer, micro_batch, block)
        count = chosen.stop - chosen.start
        timing = PipelineTiming(self.latency_cycles(self.config))
        return StreamSize(1, self.fields * count, timing.stream_cycles([count]))
