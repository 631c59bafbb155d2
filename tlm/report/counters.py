"""Counter tracks of the timeline: buffers, channels and DRAM over time, every change or, where there are many, bins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tlm.kernel.payload import Command
from tlm.memory.channel_load import ChannelLoad
from tlm.occupancy import Occupancy
from tlm.report.buffer_use import buffer_use
from tlm.report.steps import Steps, held, in_bins, sampled, total
from tlm.simulation import SimulationResult
from workloads.network import Network

PS_PER_US = 1e6  # the format's times are microseconds
MOST_CHANGES = 2000  # of one track; ten tracks of so many are 2 MB
BINS = 1000
DRAM, BUFFERS, CHANNELS = 2, 3, 4
"""Processes of the timeline that hold the tracks."""

_NUMBER = re.compile(r"\d+(?=\.|$)")


def occupancy_counters(result: SimulationResult, occupancy: Occupancy, network: Network) -> Iterator[dict[str, Any]]:
    """Yield the counter events of all buffers, channels and DRAM channels."""
    end_ps = result.time_ps
    for buffer, kinds in buffer_use(result, occupancy, network).items():
        yield from counter(BUFFERS, f"{buffer.replace('_', ' ')}, bytes", kinds, end_ps)
    for name, series in channel_levels(occupancy).items():
        yield from counter(CHANNELS, name, series, end_ps)
    for number, load in enumerate(occupancy.dram):
        yield from counter(DRAM, f"channel {number} busy", {"share": busy_share(load)}, end_ps)
        if queues := queue_lengths(load):
            yield from counter(DRAM, f"channel {number} queued bursts", queues, end_ps)
    yield from counter(DRAM, "transactions under way", transactions_under_way(result), end_ps)


def channel_levels(occupancy: Occupancy) -> dict[str, dict[str, Steps]]:
    """Return the levels of channels by "part, unit"; parts that differ by their number only are added up."""
    found: dict[str, list[Steps]] = {}
    for name, part in occupancy.levels.items():
        if part.kind == "queue":
            alike = _NUMBER.sub("*", name.removeprefix("chip."))
            found.setdefault(f"{alike}, {part.unit}", []).append(Steps(part.times_ps, part.levels))
    return {name: {"level": total(parts)} for name, parts in found.items()}


def transactions_under_way(result: SimulationResult) -> dict[str, Steps]:
    """Return how many DRAM reads and writes are between their call and their last byte."""
    return {
        f"{command}s": held((t.start_ps, t.end_ps, 1) for t in result.transfers if t.command is command)
        for command in (Command.READ, Command.WRITE)
    }


def busy_share(load: ChannelLoad) -> Steps:
    """Return the share of its time that a DRAM channel moves bytes."""
    return Steps(load.times_ps, _closed(load.busy))


def queue_lengths(load: ChannelLoad) -> dict[str, Steps]:
    """Return the mean lengths of a DRAM channel's queues; none where it has none."""
    queues = {"reads": load.reads_queued, "writes": load.writes_queued}
    return {name: Steps(load.times_ps, _closed(queue)) for name, queue in queues.items() if queue is not None}


def counter(process: int, name: str, series: Mapping[str, Steps], end_ps: int) -> Iterator[dict[str, Any]]:
    """Yield the events of one track: every change, or mean and largest value of each bin where there are too many."""
    times, values = sampled(series.values(), end_ps)
    names = list(series)
    if len(times) > MOST_CHANGES:
        binned = {f"{key}, {what}": steps for key, both in series.items() for what, steps in _bins(both, end_ps)}
        times, values = sampled(binned.values(), end_ps)
        names = list(binned)
    common = {"ph": "C", "name": name, "pid": process}
    for time_ps, *row in zip(times.tolist(), *(np.round(column, 3).tolist() for column in values), strict=True):
        yield {**common, "ts": time_ps / PS_PER_US, "args": dict(zip(names, row, strict=True))}


def _bins(steps: Steps, end_ps: int) -> Iterator[tuple[str, Steps]]:
    return zip(("mean", "most"), in_bins(steps, end_ps, BINS), strict=True)


def _closed(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values of stretches as steps: 0 after the last one."""
    return np.append(values, 0.0)
