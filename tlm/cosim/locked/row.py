"""One row of a LUT array as hardware in the simulation: it builds, looks up and sends when the model lets it.

The model's times lie anywhere inside a clock cycle (a DRAM transfer ends when it ends); the row works in whole cycles.
A stage that begins at a time goes on for the row in that time's cycle, and ends for the model when the row's last
transfer has been made, by as much later as the stage began within its cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from simpy.events import Event

from rtl_models.simulators.interactive import InteractiveUnit
from rtl_models.units import Stimulus
from tlm.cosim.cases import Difference
from tlm.cosim.engine import Patterns
from tlm.cosim.locked.unit import ClockedUnit, payloads_of
from tlm.engines.lut_row_law import LutRowTiming
from tlm.engines.streams import Stream
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.kernel.time import Clock
from tlm.schedule.lut_jobs import LutJob


@dataclass(frozen=True)
class RowWork:
    """What the row is fed for one job, and the bit patterns that it must send."""

    stimulus: Stimulus
    sums: Patterns


@dataclass
class _JobInRow:
    """A job in the hardware: its beats, and how many of each stream came before it."""

    name: str
    work: RowWork
    loads_before: int
    indices_before: int
    sums_before: int
    issued: int = 0  # cycle of the last tile's first look-up
    checked: bool = False


Report = Callable[[str, Difference], None]
"""Takes note of a difference in the part of that name."""


class LockedRow(Module):
    """The `RowHardware` of an array for the jobs of a window."""

    def __init__(
        self,
        parent: Parent,
        clock: Clock,
        timing: LutRowTiming,
        hardware: InteractiveUnit,
        jobs: Sequence[tuple[Stream, LutJob]],
        work_of: Callable[[Stream, LutJob], RowWork],
        report: Report,
    ) -> None:
        super().__init__("row", parent)
        self.unit = ClockedUnit("unit", self, clock, hardware)
        self.tiles = self.results = self.wrong_results = 0
        self._clock = clock
        self._timing = timing
        self._window = frozenset(jobs)
        self._work_of = work_of
        self._report = report
        self._jobs: dict[tuple[Stream, LutJob], _JobInRow] = {}
        self._loads = self._indices = self._sums = 0  # beats of the jobs begun

    def takes(self, stream: Stream, job: LutJob) -> bool:
        """Whether the job is in the window."""
        return (stream, job) in self._window

    def build(self, process: Process, stream: Stream, job: LutJob, number: int) -> Steps:
        """Load the tile's values, k beats; the tables are ready when the build schedule is through."""
        k, start_ps = self._timing.k, self.simulation.now_ps
        entry = self._begin(stream, job) if number == 0 else self._jobs[stream, job]
        beats = payloads_of(entry.work.stimulus.beats["load"], slice(number * k, (number + 1) * k))
        self.unit.offer("load", beats, start_ps)
        first = entry.loads_before + number * k
        yield from self.unit.wait_for("load", first + k)
        start = self.unit.cycle_of(start_ps)
        self._check(entry, number, "load", first, [start + beat for beat in range(k)])
        # the build's end shows at no port but in the first look-up
        rest_ps = self._clock.to_ps(self._timing.build_cycles - k) + start_ps % self._clock.period_ps
        yield from process.work(rest_ps)

    def look_up(
        self, process: Process, stream: Stream, job: LutJob, number: int, earliest_ps: int
    ) -> Generator[Event, Any, int]:
        """Send the tile's positions, and be ready for the sums of the job's last tile."""
        entry, positions = self._jobs[stream, job], job.position_count
        now_ps = self.simulation.now_ps
        start_ps = max(now_ps, earliest_ps)
        beats = payloads_of(entry.work.stimulus.beats["index"], slice(number * positions, (number + 1) * positions))
        self.unit.offer("index", beats, now_ps)
        if number == len(job.tiles) - 1:
            self.unit.accept("out", positions, now_ps)
        first = entry.indices_before + number * positions
        yield from self.unit.wait_for("index", first + positions)
        start = self.unit.cycle_of(start_ps)
        self._check(entry, number, "index", first, [start + beat for beat in range(positions)])
        phase_ps = start_ps % self._clock.period_ps
        yield from process.work(phase_ps)
        self.tiles += 1
        entry.issued = self.unit.cycles("index")[first]
        return self._clock.to_ps(entry.issued + self._timing.adder_latency_cycles) + phase_ps

    def drain(self, process: Process, stream: Stream, job: LutJob, end_ps: int) -> Steps:
        """Wait for the job's last sum, and compare all of them with the reference."""
        entry, positions = self._jobs[stream, job], job.position_count
        yield from self.unit.wait_for("out", entry.sums_before + positions)
        if not entry.checked:
            entry.checked = True
            last = len(job.tiles) - 1
            looked_up = self.unit.cycles("index")[entry.indices_before + last * positions :][:positions]
            due = [cycle + self._timing.output_latency_cycles for cycle in looked_up]
            self._check(entry, last, "out", entry.sums_before, due)
            self._compare(entry)
        phase_ps = end_ps % self._clock.period_ps
        close_ps = self._clock.to_ps(self.unit.cycles("out")[entry.sums_before + positions - 1] + 1)
        yield from process.work(max(0, close_ps + phase_ps - self.simulation.now_ps))

    def _begin(self, stream: Stream, job: LutJob) -> _JobInRow:
        name = f"{self.name} layer {stream.layer} micro-batch {stream.micro_batch.index} row {job.row_first}"
        name += f" positions {job.position_first}..{job.position_end - 1}"
        entry = _JobInRow(name, self._work_of(stream, job), self._loads, self._indices, self._sums)
        self._loads += len(job.tiles) * self._timing.k
        self._indices += len(job.tiles) * job.position_count
        self._sums += job.position_count
        self._jobs[stream, job] = entry
        return entry

    def _check(self, entry: _JobInRow, tile: int, stream: str, first: int, law: list[int]) -> None:
        """Report the first transfer of a tile in another cycle than the law's."""
        measured = self.unit.cycles(stream)[first : first + len(law)]
        for beat, (expected, got) in enumerate(zip(law, measured, strict=True)):
            if expected != got:
                self._report(f"{entry.name} tile {tile}", Difference("transfer", stream, beat, expected, got, got))
                return

    def _compare(self, entry: _JobInRow) -> None:
        sums = entry.work.sums
        sent = self.unit.payloads("out")[entry.sums_before : entry.sums_before + len(sums)]
        got = np.array([payload["data"] for payload in sent], np.uint64)
        wrong = np.flatnonzero(got != sums.astype(np.uint64))
        self.results += len(sums)
        self.wrong_results += len(wrong)
        if len(wrong):
            number = int(wrong[0])
            cycle = self.unit.cycles("out")[entry.sums_before + number]
            self._report(entry.name, Difference("result", "data", number, int(sums[number]), int(got[number]), cycle))
