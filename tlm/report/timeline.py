"""`timeline.json`: what every engine did when, in the Trace Event format that Perfetto opens."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from tlm.report.counters import BUFFERS, CHANNELS, DRAM, PS_PER_US, occupancy_counters
from tlm.simulation import DramTransfer, SimulationResult
from workloads.network import Network

_DRAM_BINS = 400  # points of the bandwidth counter
_CHIP = 1
_PROCESSES = {_CHIP: "chip", DRAM: "DRAM", BUFFERS: "buffers", CHANNELS: "channels"}


def timeline(result: SimulationResult, network: Network) -> dict[str, Any]:
    """Return the timeline: one track of states per engine, one of streams, and DRAM bandwidth by stream.

    A result with its occupancy gives counters of buffers, channels and DRAM channels too (docs/timeline.md).
    """
    events = [*_names(result), *_states(result), *_streams(result, network), *_bandwidth(result)]
    if result.occupancy is not None:
        events += occupancy_counters(result, result.occupancy, network)
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _names(result: SimulationResult) -> Iterator[dict[str, Any]]:
    for process, name in _PROCESSES.items():
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
    for thread, engine in enumerate(result.engines, start=1):
        yield {"ph": "M", "name": "thread_name", "pid": _CHIP, "tid": thread, "args": {"name": engine}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": _CHIP, "tid": thread, "args": {"sort_index": thread}}


def _states(result: SimulationResult) -> Iterator[dict[str, Any]]:
    for thread, (_, intervals) in enumerate(result.intervals.items(), start=1):
        for interval in intervals:
            yield {
                "ph": "X",
                "name": interval.activity,
                "cat": str(interval.state),
                "pid": _CHIP,
                "tid": thread,
                "ts": interval.start_ps / PS_PER_US,
                "dur": (interval.end_ps - interval.start_ps) / PS_PER_US,
            }


def _streams(result: SimulationResult, network: Network) -> Iterator[dict[str, Any]]:
    """Streams of one engine may overlap (one drains while the next begins), so they are asynchronous events."""
    numbers = count(1)
    for span in result.spans:
        stream = span.stream
        again = " again" if stream.recompute else ""
        common = {
            "name": f"{network.layers[stream.layer].name} micro-batch {stream.micro_batch.index}{again}",
            "cat": f"{stream.engine} streams",
            "id": next(numbers),
            "pid": _CHIP,
        }
        yield {**common, "ph": "b", "ts": span.start_ps / PS_PER_US}
        yield {**common, "ph": "e", "ts": span.end_ps / PS_PER_US}


def _bandwidth(result: SimulationResult) -> Iterator[dict[str, Any]]:
    bin_ps = max(1, -(-result.time_ps // _DRAM_BINS))
    by_stream = bandwidth_by_stream(result.transfers, bin_ps, result.time_ps)
    for number in range(-(-result.time_ps // bin_ps)):
        values = {stream: bins[number] for stream, bins in by_stream.items()}
        yield {
            "ph": "C",
            "name": "GB/s",
            "pid": DRAM,
            "ts": number * bin_ps / PS_PER_US,
            "args": values,
        }


def bandwidth_by_stream(transfers: list[DramTransfer], bin_ps: int, time_ps: int) -> dict[str, list[float]]:
    """Spread each transfer's bytes evenly over its time; return GB/s per bin and stream."""
    bins = -(-time_ps // bin_ps)
    found: dict[str, list[float]] = {}
    for transfer in transfers:
        row = found.setdefault(transfer.stream, [0.0] * bins)
        rate = transfer.length_bytes / max(1, transfer.end_ps - transfer.start_ps)  # bytes per ps
        for number in range(transfer.start_ps // bin_ps, min(bins, -(-transfer.end_ps // bin_ps))):
            start, end = number * bin_ps, (number + 1) * bin_ps
            shared_ps = min(end, transfer.end_ps) - max(start, transfer.start_ps)
            row[number] += rate * shared_ps / bin_ps * 1e3  # bytes per ps = 1000 GB/s
    return {stream: [round(value, 6) for value in row] for stream, row in sorted(found.items())}
