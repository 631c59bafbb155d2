"""The least time that a step can take on a machine, by its laws alone: each engine's work and the DRAM's bytes.

Every engine has to do its work, whatever it waits for, and every byte has to pass the DRAM's pins: the longest of these
is a bound from below, and a machine whose bound is no better than a simulated machine's time need not be simulated.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tlm.config import LUT, BackwardEngineConfig, Config, LutEngineConfig
from tlm.engines.streams import backward_streams
from tlm.memory.standard import load_standard
from tlm.schedule.backward_items import is_union
from tlm.schedule.geometry import forward_work, micro_batches, update_work
from tlm.schedule.lut_jobs import plan_jobs
from tlm.schedule.placement import place
from tlm.schedule.step_counts import StepCounts
from tlm.schedule.traffic import count_traffic
from workloads.trace_file import Trace

PS_PER_US = 1e6


@dataclass(frozen=True)
class Bound:
    """Least times of a step's parts in picoseconds."""

    forward_ps: float
    backward_ps: float
    weight_update_ps: float
    dram_ps: float

    @property
    def least_ps(self) -> float:
        """The longest of them: no step is shorter."""
        return max(self.forward_ps, self.backward_ps, self.weight_update_ps, self.dram_ps)

    @property
    def guess_ps(self) -> float:
        """A guess that orders machines: parts that are alike get in each other's way (their cubic mean, unproved)."""
        parts = (self.forward_ps, self.backward_ps, self.weight_update_ps, self.dram_ps)
        return float(sum(part**3 for part in parts) ** (1 / 3))


class Bounds:
    """Bounds of one trace; what machines have in common is counted once."""

    def __init__(self, trace: Trace, counts: StepCounts) -> None:
        self._trace = trace
        self._counts = counts
        self._lut: dict[tuple[bool, LutEngineConfig], int] = {}
        self._backward: dict[BackwardEngineConfig, int] = {}
        self._bytes: dict[str, int] = {}

    def bound(self, config: Config) -> Bound:
        """Return the bound of a machine; raises InputError where its buffers are too small for the network."""
        clock = config.clock_period_ps
        engine = config.backward_engine
        cycles = -(-self._lane_cycles(config) // engine.units)
        return Bound(
            self._lut_cycles(config, update=False) * clock,
            cycles * clock,
            self._lut_cycles(config, update=True) * clock,
            self._dram_bytes(config) / _peak_bytes_per_us(config) * PS_PER_US,
        )

    def _lut_cycles(self, config: Config, update: bool) -> int:
        """Look-ups of the array with the most of them, a cycle each; none counted where cycles depend on spikes."""
        engine = config.weight_update_engine if update else config.forward_engine
        if engine.element != LUT:
            return 0
        if (update, engine) not in self._lut:
            trace, by_array = self._trace, defaultdict[int, int](int)
            network, work_of = trace.network, update_work if update else forward_work
            for batch in micro_batches(trace.batch, config.arithmetic.micro_batch):
                for layer in range(len(network.layers)) if update else network.main:
                    work = work_of(network, layer, batch.count, config.contract)
                    plan = plan_jobs(work, engine, config.engine_timing(engine))
                    for array in range(engine.arrays):
                        jobs = plan.of_array(array)
                        by_array[array] += sum(work.tiles * job.position_count for job in jobs)
            zero = config.lut.skip_zero_tiles
            self._lut[update, engine] = 0 if zero else max(by_array.values())
        return self._lut[update, engine]

    def _lane_cycles(self, config: Config) -> int:
        """Cycles in which the lanes of some unit are busy, of all units together."""
        engine = config.backward_engine.model_copy(update={"units": 1, "items_in_flight": 1})
        if engine not in self._backward:
            trace, total = self._trace, 0
            batches = micro_batches(trace.batch, config.arithmetic.micro_batch)
            for stream in backward_streams(trace.network, batches):
                for step in range(1 if is_union(trace, stream.layer) else trace.timesteps):
                    items = self._counts.backward_items(stream.layer, stream.micro_batch, step, engine)
                    for tile in range(items.active.shape[-1]):
                        elements, active = items.work(tile, 0, items.gradients.size)
                        total += int(np.sum(elements * -(-active // engine.lanes)))
            self._backward[engine] = total
        return self._backward[engine]

    def _dram_bytes(self, config: Config) -> int:
        parts = (config.forward_engine, config.weight_update_engine, config.buffers, config.backward_engine)
        key = repr((parts[0], parts[1], parts[2], parts[3].channel_tile, parts[3].lanes))
        if key not in self._bytes:
            trace = self._trace
            placement = place(trace.network, trace.batch, config)
            traffic = count_traffic(trace.network, trace.batch, config, placement, self._counts)
            self._bytes[key] = traffic.read.total() + traffic.written.total()
        return self._bytes[key]


def _peak_bytes_per_us(config: Config) -> float:
    if config.dram.model == "flat":
        return float(config.dram.channels * config.dram.channel_bytes_per_us)
    return float(config.dram.channels * load_standard(config.dram.standard).peak_bytes_per_us)
