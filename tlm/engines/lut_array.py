"""One array of a LUT engine: builds tables and looks sums up, tile by tile, double-buffered.

An array's rows see the same indices and run in step, so one pair of processes stands for all of them. Stall-free, a
stream takes exactly the cycles of `LutRowTiming.stream_cycles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tlm.engines.context import Stream
from tlm.engines.lut_row_law import LutRowTiming
from tlm.kernel.account import EngineAccount
from tlm.kernel.channel import TokenChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.kernel.synchronize import Rendezvous, Watermark
from tlm.kernel.time import Clock
from tlm.schedule.lut_jobs import LutJob

TABLE_IN_USE = "table in use"
TABLE_BUILD = "table build"
DRAIN = "pipeline drain"
HAND_OVERS = (TABLE_IN_USE, TABLE_BUILD, DRAIN)  # builder and look-up wait for each other
_ANY_NUMBER = 1 << 30  # jobs in the drain and among the results: bounded by the room in the output buffer


@dataclass(frozen=True)
class ArrayStream:
    """The uninterrupted stream of jobs of one array."""

    stream: Stream
    jobs: tuple[LutJob, ...]


class ArrayPort(Protocol):
    """What an engine provides to its arrays: when data are there, and room for results."""

    def begin(self, array: int, stream: Stream) -> Steps:
        """Wait until the stream may begin."""

    def table_data(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        """Wait for the values of the job's tile `number`."""

    def indices(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        """Wait for the spike indices of the job's tile `number`."""

    def output_room(self, array: int, stream: Stream, job: LutJob) -> Steps:
        """Wait for room for the job's results, before its last tile."""

    def after_cycles(self, stream: Stream) -> int:
        """Cycles from the adder's result to the place where it belongs."""

    def end(self, array: int, stream: Stream) -> Steps:
        """Take note that the array has delivered its last result of the stream."""


class LutArray(Module):
    """Builder and look-up of one array; finished jobs come out of `results` in order."""

    def __init__(
        self,
        number: int,
        parent: Parent,
        clock: Clock,
        timing: LutRowTiming,
        streams: Sequence[ArrayStream],
        port: ArrayPort,
        account: EngineAccount,
    ) -> None:
        super().__init__(f"array{number}", parent)
        self.number = number
        self.tiles_done = 0
        self.look_up_cycles = 0
        self.results: TokenChannel[LutJob] = TokenChannel("results", self, _ANY_NUMBER)
        self._clock = clock
        self._timing = timing
        self._streams = streams
        self._port = port
        self._tables: Rendezvous[int] = Rendezvous("tables", self)
        self._finished = Watermark("streams_finished", self)
        self._draining: TokenChannel[tuple[int, LutJob]] = TokenChannel("draining", self, _ANY_NUMBER)
        account.add(self.process(self._build, "builder").account)
        account.add(self.process(self._look_up, "look_up").account)
        self.process(self._deliver, "deliver", daemon=True)

    def _build(self, process: Process) -> Steps:
        build_ps = self._clock.to_ps(self._timing.build_cycles)
        for number, (stream, jobs) in enumerate((s.stream, s.jobs) for s in self._streams):
            yield from self._finished.wait_for(number, DRAIN)
            yield from self._port.begin(self.number, stream)
            for job in jobs:
                for tile in range(len(job.tiles)):
                    yield from self._port.table_data(self.number, stream, job, tile)
                    yield from process.work(build_ps)
                    yield from self._tables.put(tile, TABLE_IN_USE)

    def _look_up(self, process: Process) -> Steps:
        for number, (stream, jobs) in enumerate((s.stream, s.jobs) for s in self._streams):
            yield from self._port.begin(self.number, stream)
            drain_ps = self._clock.to_ps(self._timing.output_latency_cycles + self._port.after_cycles(stream))
            earliest_ps = self.simulation.now_ps
            for job in jobs:
                for tile in range(len(job.tiles)):
                    yield from self._tables.get(TABLE_BUILD)
                    yield from self._port.indices(self.number, stream, job, tile)
                    if tile == len(job.tiles) - 1:
                        yield from self._port.output_room(self.number, stream, job)
                    earliest_ps = yield from self._serve(process, job, earliest_ps)
                yield from self._draining.put((self.simulation.now_ps + drain_ps, job))
            if jobs:
                yield from process.work(drain_ps)
            yield from self._port.end(self.number, stream)
            self._finished.advance(number + 1)

    def _serve(self, process: Process, job: LutJob, earliest_ps: int) -> Steps:
        """Look one tile up; a position's next addition waits out the adder's latency (interlock)."""
        yield from process.work(max(0, earliest_ps - self.simulation.now_ps))
        next_ps = self.simulation.now_ps + self._clock.to_ps(self._timing.adder_latency_cycles)
        yield from process.work(self._clock.to_ps(job.position_count))
        self.tiles_done += 1
        self.look_up_cycles += job.position_count
        return next_ps

    def _deliver(self, _process: Process) -> Steps:
        """Hand a job's results on when the last one has left the adder."""
        while True:
            due_ps, job = yield from self._draining.get()
            yield self.simulation.timeout(max(0, due_ps - self.simulation.now_ps))
            yield from self.results.put(job)
