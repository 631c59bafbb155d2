"""The backward engine's first unit as hardware in the simulation: it runs the groups that the schedule gives unit 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.reference.backward_items import backward_item_sums, backward_payloads
from rtl_models.simulators.interactive import InteractiveUnit
from tlm.cosim.cases import Difference
from tlm.cosim.locked.row import Report
from tlm.cosim.locked.unit import ClockedUnit, Payload, payloads_of
from tlm.cosim.stalls import Stalls
from tlm.cosim.units.backward_unit import HARDWARE, Backward
from tlm.engines.backward_law import UnitClock
from tlm.engines.streams import Stream
from tlm.kernel.account import State
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Steps
from tlm.kernel.time import Clock
from tlm.schedule.backward_items import step_operands
from tlm.schedule.backward_tasks import GroupTasks


@dataclass
class _Group:
    """A group in the unit: what it must send, and in which cycle its last sums leave by the law."""

    name: str
    sums: list[Payload]
    sums_before: int
    items: int
    due_cycle: int


class LockedBackwardUnit(Module):
    """The `BackwardHardware` of an engine; a tile is a work item."""

    def __init__(
        self,
        parent: Parent,
        clock: Clock,
        hardware: InteractiveUnit,
        engine: Backward,
        window_tiles: int,
        report: Report,
    ) -> None:
        super().__init__("unit0", parent)
        self.unit = ClockedUnit("unit", self, clock, hardware)
        self.tiles = self.results = self.wrong_results = 0
        self._clock = clock
        self._engine = engine
        self._law = UnitClock(engine.config.backward_engine)
        self._left = window_tiles
        self._report = report
        self._tasks: GroupTasks | None = None
        self._part = ""
        self._next_group = 0
        self._sums = 0

    def begin(self, stream: Stream, step: int, tile: int, parts: Sequence[tuple[int, int]]) -> None:
        """Prepare the groups of a step and channel tile, while the window lasts."""
        self._tasks, self._next_group = None, 0
        if self._left <= 0:
            return
        engine, layer = self._engine, stream.layer
        consumers, masks = step_operands(engine.trace, layer, stream.micro_batch.samples, step, weights=True)
        self._tasks = GroupTasks(consumers, masks, engine.config, tile, parts)
        self._part = f"{self.name} layer {layer} micro-batch {stream.micro_batch.index} step {step} block {tile}"

    def run(self, units: NDArray[np.int64], start_cycle: int) -> BlockInUnit | None:
        """Offer the groups of unit 0 among the next ones of the queue, from `start_cycle` on."""
        first, self._next_group = self._next_group, self._next_group + len(units)
        groups = []
        for number in np.flatnonzero(units == 0):
            if self._tasks is None or self._left <= 0:
                break
            groups.append(self._offer(self._tasks, first + int(number), start_cycle))
        return BlockInUnit(self, groups) if groups else None

    def _offer(self, tasks: GroupTasks, number: int, start_cycle: int) -> _Group:
        task, geometry = tasks.task(number).task, self._engine.geometry
        stimulus = HARDWARE.stimulus(geometry, task, Stalls())
        sums = backward_item_sums(task, geometry.value_format, geometry.sum_format)
        expected = payloads_of(backward_payloads(geometry, task, sums), slice(None))
        start_ps = self._clock.to_ps(start_cycle)
        for name in ("item", "gradient"):
            self.unit.offer(name, payloads_of(stimulus.beats[name], slice(None)), start_ps)
        self.unit.accept("sums", len(expected), start_ps)
        due = self._law.run(task.counts, task.active, start_cycle)
        items = len(task.masks)
        group = _Group(f"{self._part} group {number}", expected, self._sums, items, due)
        self._sums += len(expected)
        self._left -= items
        return group

    def check(self, group: _Group) -> None:
        """Compare what a group has sent with the reference, and the cycle of its last sums with the law."""
        stop = group.sums_before + len(group.sums)
        cycles = self.unit.cycles("sums")[group.sums_before : stop]
        width = 8 * self._engine.geometry.sum_format.width_bytes
        self.tiles += group.items
        for beat, (expected, sent) in enumerate(
            zip(group.sums, self.unit.payloads("sums")[group.sums_before : stop], strict=True)
        ):
            used = (1 << expected["count"] * width) - 1  # lanes beyond the count carry anything
            got = sent | {"data": sent["data"] & used}
            self.results += expected["count"]
            for field in expected:
                if got[field] != expected[field]:
                    self.wrong_results += 1
                    values = expected[field], got[field]
                    self._report(group.name, Difference("result", field, beat, *values, cycles[beat]))
        if cycles[-1] != group.due_cycle:
            last = len(cycles) - 1
            self._report(group.name, Difference("transfer", "sums", last, group.due_cycle, cycles[-1], cycles[-1]))


@dataclass
class BlockInUnit:
    """The groups of one block that run in the unit."""

    unit: LockedBackwardUnit
    groups: list[_Group]
    checked: bool = False

    def wait(self, state: State, reason: str) -> Steps:
        """Wait for the last sums, and compare them once."""
        last = self.groups[-1]
        yield from self.unit.unit.wait_for("sums", last.sums_before + len(last.sums), state, reason)
        if not self.checked:
            self.checked = True
            for group in self.groups:
                self.unit.check(group)
