"""One array of a LUT engine: builds tables and looks sums up, tile by tile, double-buffered.

An array's rows see the same indices and run in step, so one pair of processes stands for all of them. Stall-free, a
stream takes exactly the cycles of `LutRowTiming.stream_cycles`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tlm.engines.hardware import ChipHardware, RowHardware
from tlm.engines.lut_row_law import LutRowTiming
from tlm.engines.streams import Stream
from tlm.kernel.account import EngineAccount
from tlm.kernel.channel import UNBOUNDED, TokenChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.kernel.synchronize import Rendezvous, Watermark
from tlm.kernel.time import Clock
from tlm.memory.buffer import Transfer
from tlm.schedule.lut_jobs import LutJob

TABLE_IN_USE = "table in use"
TABLE_BUILD = "table build"
DRAIN = "pipeline drain"
HAND_OVERS = (TABLE_IN_USE, TABLE_BUILD, DRAIN)  # builder and look-up wait for each other


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

    def table_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        """Begin to move the values of the job's tile `number` through the buffers' ports."""

    def look_up_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        """Begin to move the tile's indices, and the job's sums where it is the first or last tile."""

    def after_cycles(self, stream: Stream) -> int:
        """Cycles from the adder's result to the place where it belongs."""

    def end(self, array: int, stream: Stream) -> Steps:
        """Take note that the array has delivered its last result of the stream."""


TileCycles = Callable[[Stream, LutJob, int], int]
"""Cycles in which the positions of a job's tile `number` are summed, where they depend on data."""


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
        engine: str = "",
        hardware: ChipHardware | None = None,
        cycles: TileCycles | None = None,
    ) -> None:
        super().__init__(f"array{number}", parent)
        self.number = number
        self.tiles_done = 0
        self.look_up_cycles = 0
        # jobs in the drain and among the results are bounded by the room in the output buffer
        self.results: TokenChannel[LutJob] = TokenChannel("results", self, UNBOUNDED)
        self._clock = clock
        self._timing = timing
        self._adder_latency_ps = clock.to_ps(timing.adder_latency_cycles)
        self._cycles = cycles or (lambda stream, job, number: timing.look_up_cycles(job.position_count))
        self._streams = streams
        self._port = port
        self._tables: Rendezvous[int] = Rendezvous("tables", self)
        self._finished = Watermark("streams_finished", self)
        self._row: RowHardware | None = None
        if hardware is not None:
            self._row = hardware.row(engine, self, clock, [(s.stream, job) for s in streams for job in s.jobs])
        self._draining: TokenChannel[tuple[int, Stream, LutJob]] = TokenChannel("draining", self, UNBOUNDED)
        account.add(self.process(self._build, "builder").account)
        account.add(self.process(self._look_up, "look_up").account)
        self.process(self._deliver, "deliver", daemon=True)

    def _build(self, process: Process) -> Steps:
        build_ps = self._clock.to_ps(self._timing.build_cycles)
        for number, (stream, jobs) in enumerate((s.stream, s.jobs) for s in self._streams):
            yield from self._finished.wait_for(number, DRAIN)
            yield from self._port.begin(self.number, stream)
            for job in jobs:
                row = self._row_of(stream, job)
                for tile in range(len(job.tiles)):
                    yield from self._port.table_data(self.number, stream, job, tile)
                    traffic = self._port.table_traffic(stream, job, tile, build_ps)
                    if row is None:
                        yield from process.work(build_ps)
                    else:
                        yield from row.build(process, stream, job, tile)
                    yield from traffic.finish(process)
                    yield from self._tables.put(tile, TABLE_IN_USE)

    def _look_up(self, process: Process) -> Steps:
        env = self.env
        for number, (stream, jobs) in enumerate((s.stream, s.jobs) for s in self._streams):
            yield from self._port.begin(self.number, stream)
            after_ps = self._clock.to_ps(self._port.after_cycles(stream))
            latency_ps = self._clock.to_ps(self._timing.output_latency_cycles)
            earliest_ps = end_ps = env._now
            row = None
            for job in jobs:
                row = self._row_of(stream, job)
                for tile in range(len(job.tiles)):
                    look_up_cycles = self._cycles(stream, job, tile)
                    look_up_ps = self._clock.to_ps(look_up_cycles)
                    yield from self._tables.get(TABLE_BUILD)
                    yield from self._port.indices(self.number, stream, job, tile)
                    if tile == len(job.tiles) - 1:
                        yield from self._port.output_room(self.number, stream, job)
                    traffic = self._port.look_up_traffic(stream, job, tile, look_up_ps)
                    if row is None:
                        earliest_ps = yield from self._serve(process, look_up_ps, earliest_ps)
                    else:
                        earliest_ps = yield from row.look_up(process, stream, job, tile, earliest_ps)
                    end_ps = env._now
                    yield from traffic.finish(process)
                    self.tiles_done += 1
                    self.look_up_cycles += look_up_cycles
                yield from self._draining.put((end_ps, stream, job))
            if row is not None:
                yield from row.drain(process, stream, job, end_ps)
            elif jobs:
                yield from process.work(max(0, end_ps + latency_ps - self.simulation.now_ps))
            yield from process.work(after_ps if jobs else 0)
            yield from self._port.end(self.number, stream)
            self._finished.advance(number + 1)

    def _serve(self, process: Process, look_up_ps: int, earliest_ps: int) -> Steps:
        """Look one tile up; a position's next addition waits out the adder's latency (interlock)."""
        env = self.env
        if earliest_ps > env._now:
            yield from process.work(earliest_ps - env._now)
        next_ps = env._now + self._adder_latency_ps
        yield from process.work(look_up_ps)
        return next_ps

    def _deliver(self, process: Process) -> Steps:
        """Hand a job's results on when the last one has left the adder."""
        latency_ps = self._clock.to_ps(self._timing.output_latency_cycles)
        while True:
            end_ps, stream, job = yield from self._draining.get()
            row = self._row_of(stream, job)
            if row is None:
                yield self.simulation.timeout(max(0, end_ps + latency_ps - self.simulation.now_ps))
            else:
                yield from row.drain(process, stream, job, end_ps)
            after_ps = self._clock.to_ps(self._port.after_cycles(stream))
            if after_ps:
                yield self.simulation.timeout(after_ps)
            yield from self.results.put(job)

    def _row_of(self, stream: Stream, job: LutJob) -> RowHardware | None:
        """The hardware that runs the job, if any."""
        return self._row if self._row is not None and self._row.takes(stream, job) else None
