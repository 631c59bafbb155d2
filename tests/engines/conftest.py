"""A bench for one array of a LUT engine: jobs in, and a port that lets data and room come late."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tlm.engines.lut_array import HAND_OVERS, ArrayStream, LutArray
from tlm.engines.lut_row_law import LutRowTiming
from tlm.engines.streams import FORWARD, Stream
from tlm.kernel import Clock, EngineAccount, Simulation
from tlm.kernel.process import Steps
from tlm.memory.buffer import Transfer
from tlm.schedule.geometry import MicroBatch
from tlm.schedule.lut_jobs import LutJob

TIMING = LutRowTiming(k=3, lanes=4, build_latency_cycles=2, adder_latency_cycles=4, tree_registers=True)
CLOCK = Clock(1000)


class LatePort:
    """Everything is there at once, but for what `late` names: {(method, job, tile): cycle}; `ended` in cycles."""

    def __init__(self, simulation: Simulation, late: dict[tuple[str, int, int], int]) -> None:
        self._simulation = simulation
        self._late = late
        self.ended: list[int] = []

    def begin(self, array: int, stream: Stream) -> Steps:
        yield from self._wait("begin", stream.layer, 0)

    def table_data(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        yield from self._wait("table_data", job.row_block, number)

    def indices(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        yield from self._wait("indices", job.row_block, number)

    def output_room(self, array: int, stream: Stream, job: LutJob) -> Steps:
        yield from self._wait("output_room", job.row_block, 0)

    def table_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        return Transfer(duration_ps)

    def look_up_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        return Transfer(duration_ps)

    def after_cycles(self, stream: Stream) -> int:
        return 0

    def end(self, array: int, stream: Stream) -> Steps:
        self.ended.append(CLOCK.to_cycles(self._simulation.now_ps))
        return
        yield

    def _wait(self, method: str, job: int, tile: int) -> Steps:
        due_ps = CLOCK.to_ps(self._late.get((method, job, tile), 0))
        yield self._simulation.timeout(max(0, due_ps - self._simulation.now_ps))


class ArrayBench:
    """One array and its port; `streams` hold (tiles, positions) of each job."""

    def __init__(
        self, simulation: Simulation, streams: list[list[tuple[int, int]]], late: dict[tuple[str, int, int], int]
    ) -> None:
        self.simulation = simulation
        self.port = LatePort(simulation, late)
        self.account = EngineAccount(simulation.env, "engine", inside=HAND_OVERS)
        numbers = iter(range(1000))
        planned = [
            ArrayStream(
                Stream(FORWARD, layer, MicroBatch(0, 0, 1)),
                tuple(LutJob(0, 1, 0, positions, tuple(range(tiles)), next(numbers)) for tiles, positions in jobs),
            )
            for layer, jobs in enumerate(streams)
        ]
        self.array = LutArray(0, simulation, CLOCK, TIMING, planned, self.port, self.account)

    def run(self) -> list[int]:
        """Run and return the cycle in which each stream ended."""
        self.simulation.run()
        return self.port.ended


@pytest.fixture
def array_bench(simulation: Simulation) -> Callable[..., ArrayBench]:
    """Make a bench: ``array_bench([(tiles, positions), ...], ..., late={})``, one list of jobs per stream."""

    def make(*streams: list[tuple[int, int]], late: dict[tuple[str, int, int], int] | None = None) -> ArrayBench:
        return ArrayBench(simulation, list(streams), late or {})

    return make
