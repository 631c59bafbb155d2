"""The sparse backward unit: weighted sums of compressed gradients for the outputs whose mask bit is set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtl_models.backward_unit import BackwardUnitGeometry, backward_unit
from rtl_models.formats import Bits, encode
from rtl_models.pipeline import PipelineGeometry
from rtl_models.reference.backward_items import (
    BackwardTask,
    backward_item_sums,
    backward_outputs,
    backward_payloads,
    backward_stimulus,
    beats_per_item,
)
from rtl_models.units import Response, Stimulus, Unit
from tlm.config import Config
from tlm.cosim.engine import NOTHING, Engine, Expectation, Patterns, StreamSize
from tlm.cosim.hardware import Hardware, Results, Transfers
from tlm.cosim.keys import BACKWARD, StreamKey
from tlm.cosim.stalls import Stalls
from tlm.cosim.units.gradient_unit import GRADIENT_UNIT, GradientState, read_state
from tlm.engines.backward_law import BackwardUnitTiming
from tlm.rtl_geometry import backward_geometry
from tlm.schedule.backward_items import is_union, step_operands
from tlm.schedule.backward_tasks import UnitTask, backward_tasks
from workloads.network import Network

LONGEST_TASK = 1 << 15  # gradients of a part of a stream
SHORT_GROUPS = 2
SHORT_GRADIENTS = 4  # of an item of a short task


class BackwardUnit(Hardware[BackwardUnitGeometry, BackwardTask]):
    """A unit of multiply-accumulate lanes; a tile is a work item: one output position's channel tile."""

    name = "backward_unit"
    sources = ("item", "gradient")
    sink = "sums"
    geometry_type = BackwardUnitGeometry
    task_type = BackwardTask

    def unit(self, geometry: BackwardUnitGeometry) -> Unit:
        return backward_unit(geometry)

    def stimulus(self, geometry: BackwardUnitGeometry, task: BackwardTask, stalls: Stalls) -> Stimulus:
        return backward_stimulus(geometry, task, stalls.valid, stalls.ready)

    def reference(self, geometry: BackwardUnitGeometry, task: BackwardTask) -> Results:
        return self.results(geometry, task, backward_item_sums(task, geometry.value_format, geometry.sum_format))

    def results(self, geometry: BackwardUnitGeometry, task: BackwardTask, sums: Bits) -> Results:
        """Return the results of a task whose sums are known."""
        payloads = backward_payloads(geometry, task, sums)
        return {"data": sums, "count": payloads["count"][:, 0], "last": payloads["last"][:, 0]}

    def law(self, geometry: BackwardUnitGeometry, task: BackwardTask, stalls: Stalls) -> Transfers:
        timing = BackwardUnitTiming(geometry.lanes, geometry.adder_latency_cycles)
        cycles = timing.transfers(task.group_items, task.counts, task.active, stalls.valid, stalls.ready)
        return {"item": cycles.item, "gradient": cycles.gradient, "sums": cycles.sums}

    def outputs(self, geometry: BackwardUnitGeometry, response: Response) -> Results:
        payload = response.payloads["sums"]
        sums = backward_outputs(geometry, response)
        return {"data": sums, "count": payload["count"][:, 0], "last": payload["last"][:, 0]}

    def tiles(self, task: BackwardTask) -> int:
        return len(task.masks)

    def beat(self, geometry: BackwardUnitGeometry, task: BackwardTask, field: str, number: int) -> int:
        if field != "data":
            return number
        active, beats = task.active, beats_per_item(task.active, geometry.lanes)
        item = int(np.searchsorted(np.cumsum(active), number, side="right"))
        within = number - int(active[:item].sum())
        return int(beats[:item].sum()) + within // geometry.lanes

    def short_task(
        self, geometry: BackwardUnitGeometry, task: BackwardTask, rng: np.random.Generator, at_plane: bool
    ) -> BackwardTask:
        """Some groups in a row, with the first gradients of each item."""
        count = min(SHORT_GROUPS, len(task.group_items))
        group = int(rng.integers(len(task.group_items) - count + 1))
        ends = np.cumsum(task.group_items)
        first = int(ends[group] - task.group_items[group])
        items = slice(first, int(ends[group + count - 1]))
        starts = (np.cumsum(task.counts) - task.counts)[items]
        counts = np.minimum(task.counts[items], SHORT_GRADIENTS)
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        elements = np.repeat(starts, counts) + within
        rows, numbers = np.unique(task.rows[elements], return_inverse=True)
        weights = task.weights[rows] if len(rows) else task.weights[:1]
        return BackwardTask(
            masks=task.masks[items],
            group_items=task.group_items[group : group + count],
            counts=counts,
            values=task.values[elements],
            rows=numbers.astype(np.int64),
            weights=weights,
        )


HARDWARE = BackwardUnit()


class Backward(Engine):
    """Rows are steps of the backward pass, blocks are channel tiles.

    The groups of all work items of a stream run back to back through one unit: there each overlaps its neighbours. The
    schedule deals them out to many units, which changes only where a group finds the unit idle.
    """

    name = BACKWARD
    hardware = HARDWARE
    _kept: tuple[tuple[int, int], GradientState] | None = None

    @classmethod
    def layers_of(cls, network: Network) -> list[int]:
        return list(network.hidden)

    @classmethod
    def geometry_of(cls, network: Network, batch: int, config: Config) -> BackwardUnitGeometry:
        return backward_geometry(config)

    def rows(self, layer: int, micro_batch: int) -> int:
        return 1 if is_union(self.trace, layer) else self.trace.timesteps

    def blocks(self, layer: int, micro_batch: int) -> int:
        return -(-self.layer(layer).out_channels // self.config.backward_engine.channel_tile)

    def size(self, layer: int, micro_batch: int, block: int) -> StreamSize:
        """Size with every gradient and every output: an upper bound."""
        engine, shape = self.config.backward_engine, self.layer(layer)
        samples = self.batches[micro_batch].count
        items = samples * shape.out_positions
        channels = min(engine.channel_tile, shape.out_channels - block * engine.channel_tile)
        beats = -(-channels // engine.lanes)
        visits = items * channels * len(self.network.identities(layer))
        for upper in (self.layer(number) for number in self.network.consumers(layer)):
            visits += samples * upper.conv_positions * upper.weights_count // upper.in_channels
        return StreamSize(items, items * (channels + 2 * beats), visits * beats + items)

    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        samples = self.samples(key.micro_batch)
        consumers, masks = step_operands(self.trace, key.layer, samples, key.row, weights=True)
        tasks = backward_tasks(consumers, masks, self.config, key.block, largest_task=LONGEST_TASK)
        for part, work in enumerate(tasks):
            made, in_trace = self._gradients(key, work) if self.trace.bit_exact else (NOTHING, NOTHING)
            yield Expectation(key, work.task, self._results(work), made, in_trace, part)

    def _results(self, work: UnitTask) -> Results:
        """What the unit must send; with non-finite operands the sums of the packed step may leave elements out."""
        sums = work.sums
        if self.trace.skipped:
            sums = backward_item_sums(work.task, self.config.contract.value, self.config.contract.sum)
        return HARDWARE.results(self.geometry, work.task, sums)

    def _gradients(self, key: StreamKey, work: UnitTask) -> tuple[Patterns, Patterns]:
        """du that follows from the sums by the gradient unit's reference, and du in the trace."""
        state = self._state(key.layer, key.micro_batch)
        items, channels = np.nonzero(work.task.masks)
        first = key.block * self.config.backward_engine.channel_tile
        chosen = work.positions[items] * self.layer(key.layer).out_channels + first + channels
        last = self.trace.timesteps - 1
        timesteps = range(last + 1) if is_union(self.trace, key.layer) else [last - key.row]
        made, in_trace = [], []
        for t in timesteps:
            task = state.task(work.sums, t, chosen)
            made.append(GRADIENT_UNIT.reference(self._gradient_geometry, task)["du"])
            in_trace.append(encode(state.du[t, chosen], self.config.contract.value))
        return np.concatenate(made), np.concatenate(in_trace)

    @property
    def _gradient_geometry(self) -> PipelineGeometry:
        return PipelineGeometry(self.config.contract.value, self.config.contract.sum)

    def _state(self, layer: int, micro_batch: int) -> GradientState:
        if self._kept is None or self._kept[0] != (layer, micro_batch):
            any_reset = self.config.neuron_unit.any_reset
            self._kept = (layer, micro_batch), read_state(self.trace, layer, self.samples(micro_batch), any_reset)
        return self._kept[1]
