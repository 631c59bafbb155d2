"""Replay of a request trace through one or more channels: what the reference's tables hold, in the same units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from tlm.memory.controller import BoolArray, ChannelStatistics, ControllerConfig, DramChannel, IntArray
from tlm.memory.standard import DramStandard


@dataclass(frozen=True)
class ReplayResult:
    """A replayed trace. Cycles are clocks (HBM3 has halves), counted from the first simulated cycle, which is 1.

    `cycles_total` is the cycle in which the last data beat of the last request leaves the bus; queue lengths are means
    over the cycles up to it, over the channels. `commands` holds one log per channel, if asked for.
    """

    requests: int
    reads: int
    writes: int
    bytes: int
    cycles_total: float
    time_ns: float
    bandwidth_gbps: float
    peak_gbps: float
    share_of_peak: float
    row_hits: int
    row_misses: int
    row_conflicts: int
    forwarded_reads: int
    coalesced_writes: int
    read_latency_mean: float
    read_latency_p50: float
    read_latency_p99: float
    read_latency_min: float
    read_latency_max: float
    write_wait_mean: float  # clocks from acceptance to WR
    cycles_last_request_accepted: float
    read_queue_mean: float
    write_queue_mean: float
    command_counts: dict[str, int]
    commands: tuple[NDArray[np.void], ...]


def replay(
    addresses: IntArray,
    is_write: BoolArray,
    standard: DramStandard,
    controller: ControllerConfig,
    channels: int = 1,
    log_commands: bool = False,
    interleave_bytes: int | None = None,
) -> ReplayResult:
    """Replay requests of one burst each, all offered from the first cycle on, in order within each channel.

    `channels` change every `interleave_bytes` (default: one burst). Raises InputError for addresses that are not
    multiples of the burst or lie beyond the capacity of all channels.
    """
    if not len(addresses):
        raise InputError("nothing to replay", "requests", 0)
    if channels < 1:
        raise InputError("must be a whole number", "channels", channels, "1 or more")
    step = standard.burst_bytes if interleave_bytes is None else interleave_bytes
    if step < standard.burst_bytes or step % standard.burst_bytes:
        allowed = f"multiples of {standard.burst_bytes}"
        raise InputError("channels change between bursts only", "interleave_bytes", step, allowed)
    addresses = np.asarray(addresses, dtype=np.int64)
    parts: list[DramChannel] = []
    for index in range(channels):
        channel = DramChannel(standard, controller, log_commands, log_latencies=True)
        mine: slice | IntArray = slice(None)
        local = addresses
        if channels > 1:
            mine = np.flatnonzero(addresses // step % channels == index)
            local = addresses[mine] // (step * channels) * step + addresses[mine] % step
        if len(local):
            channel.add(local, is_write[mine], 0, 0)
            channel.run_until_idle()
        parts.append(channel)
    return _result(parts, standard)


def _result(channels: list[DramChannel], standard: DramStandard) -> ReplayResult:
    statistics = [channel.statistics for channel in channels]
    ticks = max(channel.idle_tick or 0 for channel in channels)
    clock = standard.ticks_per_clock
    cycles = ticks / clock
    time_ns = cycles * standard.clock_period_ps / 1000
    reads, writes = sum(s.reads for s in statistics), sum(s.writes for s in statistics)
    moved = (reads + writes) * standard.burst_bytes
    peak = sum(channel.modelled.peak_bytes_per_us for channel in channels) / 1000
    waits, waited = (
        sum(s.write_wait_sum for s in statistics),
        sum(s.commands["WR"] + s.commands["WRA"] for s in statistics),
    )
    mean, median, high, least, greatest = _latencies(channels, statistics)
    return ReplayResult(
        reads + writes,
        reads,
        writes,
        moved,
        cycles,
        time_ns,
        moved / time_ns,
        peak,
        moved / time_ns / peak,
        sum(s.row_hits for s in statistics),
        sum(s.row_misses for s in statistics),
        sum(s.row_conflicts for s in statistics),
        sum(s.forwarded_reads for s in statistics),
        sum(s.coalesced_writes for s in statistics),
        mean / clock,
        median / clock,
        high / clock,
        least / clock,
        greatest / clock,
        waits / waited / clock if waited else 0.0,
        max(s.last_accepted for s in statistics) / clock,
        sum(s.read_queue_sum for s in statistics) / ticks / len(channels),
        sum(s.write_queue_sum for s in statistics) / ticks / len(channels),
        {name: sum(s.commands[name] for s in statistics) for name in statistics[0].commands},
        tuple(channel.commands for channel in channels),
    )


def _latencies(
    channels: list[DramChannel], statistics: list[ChannelStatistics]
) -> tuple[float, float, float, float, float]:
    """Return mean, median, 99th percentile, least and greatest latency of all reads, in ticks; 0 without reads.

    Of two neighbouring ranks a percentile is the higher, as in the reference.
    """
    counts = np.sum([channel.latencies for channel in channels], axis=0)
    reads = int(counts.sum())
    if not reads:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    below = np.cumsum(counts)
    ranks = (math.ceil(share * (reads - 1)) for share in (0.5, 0.99))
    median, high = (float(np.searchsorted(below, rank, side="right")) for rank in ranks)
    least = min(s.read_latency_min for s in statistics if s.reads)
    greatest = max(s.read_latency_max for s in statistics)
    return sum(s.read_latency_sum for s in statistics) / reads, median, high, least, greatest
