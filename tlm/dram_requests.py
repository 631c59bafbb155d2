"""The DRAM requests of a simulated training step, burst by burst in the order in which they were offered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rtl_models.errors import InputError
from tlm.config import Config, DramConfig
from tlm.kernel.payload import Command
from tlm.memory.interleaving import Interleaving
from tlm.memory.request_trace import Dialect, write_request_trace
from tlm.memory.standard import DramStandard, load_standard
from tlm.simulation import DramTransfer, simulate
from workloads.atomic import replacing
from workloads.trace_file import Trace

Integers = NDArray[np.int64]
_BURSTS_PER_ROW_GROUP = 1 << 20


@dataclass(frozen=True)
class StepRequests:
    """Transactions in order of arrival, and their bursts; addresses are those of one channel if `channel` is given.

    `addresses` and `transaction` are [bursts]; `counts` [transactions] are the bursts of each. A request belongs to the
    last of `cycle` DRAM clocks: it can be served from the next one on.
    """

    standard: DramStandard
    transfers: tuple[DramTransfer, ...]
    counts: Integers
    addresses: Integers
    channel: int | None

    @property
    def is_write(self) -> NDArray[np.bool_]:
        """Whether each burst [bursts] writes."""
        return np.repeat([transfer.command is Command.WRITE for transfer in self.transfers], self.counts)

    def cycles(self) -> list[int]:
        """DRAM clock cycle in which each transaction arrived."""
        standard = self.standard
        return [standard.tick_of_ps(t.start_ps) // standard.ticks_per_clock for t in self.transfers]

    def comments(self) -> Iterator[str]:
        """Cycle and stream of each burst."""
        for transfer, cycle, count in zip(self.transfers, self.cycles(), self.counts.tolist(), strict=True):
            text = f"{cycle} {transfer.stream}"
            for _ in range(count):
                yield text


def record_requests(trace: Trace, config: Config, channel: int | None = None) -> StepRequests:
    """Simulate the step of `trace` and return its requests, of all channels or of one.

    Raises InputError as `simulate` does, and for a channel that is not there.
    """
    dram = config.dram
    if channel is not None and not 0 <= channel < dram.channels:
        raise InputError("no such channel", "--channel", channel, f"0 to {dram.channels - 1}")
    return requests_of(simulate(trace, config).transfers, dram, channel)


def requests_of(transfers: list[DramTransfer], dram: DramConfig, channel: int | None = None) -> StepRequests:
    """Cut transactions into bursts of the configured standard, in the order in which the DRAM takes them."""
    standard = load_standard(dram.standard)
    interleaving = Interleaving(dram.channels, dram.interleave_bytes, standard.burst_bytes)
    ordered, spans = [], []
    for transfer in sorted(transfers, key=_arrival):
        share = _bursts(transfer, interleaving, channel)
        if share is not None:
            ordered.append(transfer)
            spans.append(share)
    counts = np.array([count for _, count in spans], np.int64)
    firsts = np.array([first for first, _ in spans], np.int64)
    starts = np.cumsum(counts) - counts
    bursts = np.arange(counts.sum()) + np.repeat(firsts - starts, counts)
    return StepRequests(standard, tuple(ordered), counts, bursts * standard.burst_bytes, channel)


def write_requests(requests: StepRequests, path: Path, dialect: Dialect) -> None:
    """Write request lines; those of `requests` end with cycle and stream as a comment, Ramulator's know none."""
    comments = requests.comments() if dialect == "requests" else None
    write_request_trace(path, requests.addresses, requests.is_write, comments, dialect)


def write_parquet(requests: StepRequests, path: Path) -> None:
    """Write a Parquet file of one row a burst: cycle, address, write, stream, DMA channel, transaction."""
    counts = requests.counts
    streams = pa.array([t.stream for t in requests.transfers], pa.string()).dictionary_encode()
    sources = pa.array([t.channel for t in requests.transfers], pa.string()).dictionary_encode()
    number = np.repeat(np.arange(len(counts)), counts)
    index = pa.array(number)
    table = pa.table(
        {
            "cycle": pa.array(np.repeat(np.array(requests.cycles(), np.int64), counts)),
            "address": pa.array(requests.addresses),
            "write": pa.array(requests.is_write),
            "stream": streams.take(index),
            "dma_channel": sources.take(index),
            "transaction": index,
        }
    )
    with replacing(path) as temporary:
        pq.write_table(table, temporary, row_group_size=_BURSTS_PER_ROW_GROUP)


def _arrival(transfer: DramTransfer) -> tuple[int, bool, int, int, str]:
    """Time, then the DRAM's own order among transactions of one instant."""
    write = transfer.command is Command.WRITE
    return transfer.start_ps, write, transfer.address, transfer.length_bytes, transfer.stream


def _bursts(transfer: DramTransfer, interleaving: Interleaving, channel: int | None) -> tuple[int, int] | None:
    """(first burst, bursts), of the whole address space or within one channel; None where the channel has none."""
    if channel is None:
        moved = interleaving.moved_bytes(transfer.address, transfer.length_bytes)
        return transfer.address // interleaving.burst_bytes, moved // interleaving.burst_bytes
    for owner, first, count in interleaving.bursts(transfer.address, transfer.length_bytes):
        if owner == channel:
            return first, count
    return None
