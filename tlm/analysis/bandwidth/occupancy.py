"""Occupancy over time: how busy DRAM channels and engines were, in equal stretches of the step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlm.config import Config
from tlm.kernel.account import State
from tlm.simulation import SimulationResult

BINS = 160  # what a plot of 11 inches can show
DRAM_CHANNEL = "DRAM channel "

Times = NDArray[np.int64]
Amounts = NDArray[np.floating[Any]]


def occupancy(result: SimulationResult, config: Config) -> tuple[int, list[dict[str, Any]]]:
    """Return the length of a bin (ps), and for each DRAM channel and engine its shares 0..1, bin by bin.

    A channel's share is that of the bytes it could have moved: each transaction's bytes are spread evenly over its
    time. An engine's share is the time it was busy.
    """
    bin_ps = max(1, -(-result.time_ps // BINS))
    edges = np.arange(-(-result.time_ps // bin_ps) + 1, dtype=np.int64) * bin_ps
    parts: list[dict[str, Any]] = []
    start, end, address, length = _columns(result)
    full_speed_ps_per_byte = 1e6 * config.dram.channels / result.dram_peak_bytes_per_us
    for channel in range(config.dram.channels):
        moved = bytes_on_channel(address, length, channel, config.dram.channels, config.dram.interleave_bytes)
        shares = spread(start, end, moved * full_speed_ps_per_byte, edges)
        parts.append({"part": f"{DRAM_CHANNEL}{channel}", "share": shares})
    for engine, intervals in result.intervals.items():
        busy = np.array([(i.start_ps, i.end_ps) for i in intervals if i.state is State.BUSY], np.int64).reshape(-1, 2)
        shares = spread(busy[:, 0], busy[:, 1], np.asarray(busy[:, 1] - busy[:, 0], np.float64), edges)
        parts.append({"part": engine, "share": shares})
    return bin_ps, parts


def bytes_on_channel(address: Times, length: Times, channel: int, channels: int, interleave_bytes: int) -> Times:
    """Return how many bytes of each [address, address + length) lie on one of `channels` interleaved channels."""
    turn = channels * interleave_bytes

    def below(end: Times) -> Times:
        rest = np.clip(end % turn - channel * interleave_bytes, 0, interleave_bytes)
        return end // turn * interleave_bytes + rest

    return below(address + length) - below(address)


def spread(start: Times, end: Times, amount: Amounts, edges: Times) -> list[float]:
    """Spread each amount (ps) evenly from its start to its end; return the sum in each bin as a share of the bin."""
    end = np.maximum(end, start + 1)
    rate = amount / (end - start)
    moments = np.concatenate([start, end])
    order = np.argsort(moments, kind="stable")
    moments = moments[order]
    slopes = np.cumsum(np.concatenate([rate, -rate])[order])
    if not len(moments):
        return [0.0] * (len(edges) - 1)
    # the running total goes in straight lines from moment to moment
    totals = np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(moments))])
    shares = np.diff(np.interp(edges, moments, totals)) / np.diff(edges)
    return [round(float(share), 4) for share in np.clip(shares, 0.0, 1.0)]


def _columns(result: SimulationResult) -> tuple[Times, Times, Times, Times]:
    """Start, end, address and length of every DRAM transfer."""
    rows = [(t.start_ps, t.end_ps, t.address, t.length_bytes) for t in result.transfers]
    start, end, address, length = np.array(rows, np.int64).reshape(-1, 4).T
    return start, end, address, length
