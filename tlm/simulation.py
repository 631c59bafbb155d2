"""Runs one training step of a trace through the accelerator and returns where all the time and all the bytes went."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tlm.accelerator import Accelerator
from tlm.config import Config
from tlm.engines.context import Span
from tlm.engines.hardware import ChipHardware
from tlm.kernel.account import EngineAccount, Interval, State
from tlm.kernel.payload import Command
from tlm.kernel.simulation import Simulation, no_cycle_search
from tlm.memory.dram import ChannelUse
from tlm.occupancy import Occupancy, OccupancyWatch
from tlm.schedule.placement import Placement
from tlm.schedule.step_counts import StepCounts
from tlm.trace_config import check_fits
from workloads.trace_file import Trace


@dataclass(frozen=True)
class EngineTime:
    """One engine's time: `busy_ps`, and what it was blocked by and starved of; the three add up to the run."""

    busy_ps: int
    blocked_ps: dict[str, int]
    starved_ps: dict[str, int]

    @property
    def total_ps(self) -> int:
        """Busy, blocked and starved together."""
        return self.busy_ps + sum(self.blocked_ps.values()) + sum(self.starved_ps.values())


@dataclass(frozen=True)
class PortUse:
    """What the ports of a buffer give, the most that was asked of them at once, and the bytes they moved."""

    bytes_per_cycle: int
    peak_demand_bytes_per_cycle: int
    moved_bytes: int


class DramTransfer(NamedTuple):
    """One DRAM transaction, from the call to the last byte; `channel` is the DMA channel that it went through."""

    stream: str
    length_bytes: int
    start_ps: int
    end_ps: int
    address: int = 0
    command: Command = Command.READ
    channel: str = ""


@dataclass(frozen=True)
class SimulationResult:
    """One simulated training step. Times are picoseconds; `work` counts what the engines really did."""

    time_ps: int
    clock_period_ps: int
    engines: dict[str, EngineTime]
    intervals: dict[str, list[Interval]]
    spans: list[Span]
    transfers: list[DramTransfer]
    dram_read_bytes: dict[str, int]
    dram_written_bytes: dict[str, int]
    dram_burst_read_bytes: dict[str, int]
    """Bytes of the bursts that reads touched; `dram_burst_written_bytes` likewise."""
    dram_burst_written_bytes: dict[str, int]
    dram_peak_bytes_per_us: float
    dram_busy_ps: list[int]
    dram_channels: list[ChannelUse]
    work: dict[str, int]
    operations: dict[tuple[str, int], int]
    """Synaptic operations by engine and layer: a look-up stands for k of them, a multiply-accumulate for one."""
    buffer_ports: dict[str, PortUse]
    placement: Placement
    occupancy: Occupancy | None = None
    """How full channels and buffers were over time, where it was asked for."""

    def __repr__(self) -> str:
        return f"SimulationResult({self.cycles:,} cycles, {len(self.spans)} streams, {len(self.engines)} engines)"

    @property
    def cycles(self) -> int:
        """Clock cycles of the step, the last one counted whole."""
        return -(-self.time_ps // self.clock_period_ps)


@no_cycle_search()
def simulate(
    trace: Trace,
    config: Config,
    transactions: Path | None = None,
    hardware: ChipHardware | None = None,
    counts: StepCounts | None = None,
    occupancy: bool = False,
) -> SimulationResult:
    """Simulate the training step of `trace` on the accelerator of `config`.

    `transactions` names a Parquet file for every DRAM transaction; `hardware` runs in the place of some units' laws;
    `counts` are the trace's own, kept between simulations of it; `occupancy` keeps how full channels and buffers were.
    Raises InputError if the configuration's arithmetic is not the trace's, its units cannot reset as the trace's
    neurons do, or a buffer cannot hold one tile; Deadlock if the pipeline cannot go on.
    """
    check_fits(config, trace)
    simulation = Simulation()
    chip = Accelerator("chip", simulation, config, trace, hardware, counts)
    watch = OccupancyWatch(chip) if occupancy else None
    intervals: dict[str, list[Interval]] = {name: [] for name in chip.accounts}
    for name, account in chip.accounts.items():
        account.listen(intervals[name].append)
    transfers: list[DramTransfer] = []
    channels = {dma.socket: channel for channel, dma in chip.dma.items()}
    chip.observe_transactions(
        lambda initiator, _target, payload, start_ps, end_ps: transfers.append(
            DramTransfer(
                payload.stream,
                payload.length,
                start_ps,
                end_ps,
                payload.address,
                payload.command,
                channels[initiator],
            )
        )
    )
    if transactions is None:
        simulation.run()
    else:
        from tlm.kernel.recorder import TransactionRecorder  # pyarrow is slow to load

        with TransactionRecorder(transactions) as recorder:
            chip.observe_transactions(recorder.record)
            simulation.run()
    for account in chip.accounts.values():
        account.close()
    return _result(chip, simulation.now_ps, intervals, transfers, None if watch is None else watch.result())


def _result(
    chip: Accelerator,
    time_ps: int,
    intervals: dict[str, list[Interval]],
    transfers: list[DramTransfer],
    occupancy: Occupancy | None,
) -> SimulationResult:
    counted = chip.dram.bytes_by_stream
    moved = chip.dram.burst_bytes_by_stream
    channels = chip.dram.use()
    streams = sorted({stream for stream, _ in counted})
    return SimulationResult(
        time_ps=time_ps,
        clock_period_ps=chip.clock.period_ps,
        engines={name: _engine_time(account) for name, account in chip.accounts.items()},
        intervals=intervals,
        spans=sorted(chip.order.spans.values(), key=lambda span: (span.start_ps, span.stream.name)),
        transfers=transfers,
        dram_read_bytes={stream: counted[stream, Command.READ] for stream in streams},
        dram_written_bytes={stream: counted[stream, Command.WRITE] for stream in streams},
        dram_burst_read_bytes={stream: moved[stream, Command.READ] for stream in streams},
        dram_burst_written_bytes={stream: moved[stream, Command.WRITE] for stream in streams},
        dram_peak_bytes_per_us=chip.dram.peak_bytes_per_us,
        dram_channels=channels,
        dram_busy_ps=[channel.busy_ps for channel in channels],
        work=_work(chip),
        operations=_operations(chip),
        buffer_ports={
            name: PortUse(ports.bytes_per_cycle, ports.peak_demand_bytes_per_cycle, ports.moved_bytes)
            for name, ports in chip.ports.items()
        },
        placement=chip.placement,
        occupancy=occupancy,
    )


def _engine_time(account: EngineAccount) -> EngineTime:
    totals = account.totals_ps()
    return EngineTime(
        busy_ps=sum(ps for (state, _), ps in totals.items() if state is State.BUSY),
        blocked_ps={reason: ps for (state, reason), ps in sorted(totals.items()) if state is State.BLOCKED},
        starved_ps={reason: ps for (state, reason), ps in sorted(totals.items()) if state is State.STARVED},
    )


def _work(chip: Accelerator) -> dict[str, int]:
    lanes = chip.config.lut.lanes
    work = {"backward_macs": chip.backward.macs.total()}
    for name, engine in (("forward", chip.forward), ("weight_update", chip.update)):
        jobs = [job for plan in engine.plans.values() for job in plan.jobs]
        work[f"{name}_tiles"] = sum(len(job.tiles) for job in jobs)
        rows_times_positions = sum(len(job.tiles) * job.row_count * job.position_count for job in jobs)
        work[f"{name}_look_ups"] = rows_times_positions * lanes
    return work


def _operations(chip: Accelerator) -> dict[tuple[str, int], int]:
    found = Counter({("backward", layer): macs for layer, macs in chip.backward.macs.items()})
    for engine in (chip.forward, chip.update):
        for stream, plan in engine.plans.items():
            look_ups = sum(len(job.tiles) * job.row_count * job.position_count for job in plan.jobs)
            found[stream.engine, stream.layer] += look_ups * chip.config.lut.lanes * chip.config.lut.k
    return dict(sorted(found.items()))
