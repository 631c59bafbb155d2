"""A step's DRAM requests: every burst once, in the order of arrival, and the same again when they are replayed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import BUFFERS, make_trace, small_buffers, tiny_config
from tlm.config import Config
from tlm.dram_requests import StepRequests, record_requests, requests_of, write_parquet, write_requests
from tlm.kernel.payload import Command
from tlm.memory.request_trace import read_request_trace
from tlm.simulation import DramTransfer, simulate

STEP = ("spikes", "linear", 9)
BANKED = ("dram={model: banked, channels: 2, interleave_bytes: 64}",)


@pytest.fixture(scope="module")
def config() -> Config:
    return tiny_config(*small_buffers(STEP, *BUFFERS, overrides=BANKED))


@pytest.fixture(scope="module")
def requests(config: Config) -> StepRequests:
    return record_requests(make_trace(*STEP), config)


def transfer(start_ps: int, address: int, length: int, command: Command = Command.READ) -> DramTransfer:
    return DramTransfer("spikes", length, start_ps, start_ps + 1, address, command, "inputs")


def test_every_burst_of_the_step_is_there(requests: StepRequests, config: Config) -> None:
    result = simulate(make_trace(*STEP), config)
    writes = int(requests.is_write.sum())
    assert writes * 32 == sum(result.dram_burst_written_bytes.values())
    assert (len(requests.addresses) - writes) * 32 == sum(result.dram_burst_read_bytes.values())
    assert len(requests.transfers) == len(result.transfers)


def test_transactions_come_in_the_order_of_arrival(requests: StepRequests) -> None:
    assert all(before.start_ps <= after.start_ps for before, after in pairwise(requests.transfers))
    assert requests.cycles() == [-(-t.start_ps // 1000) for t in requests.transfers]


def test_bursts_of_transactions_in_order_reads_first_within_an_instant() -> None:
    transfers = [
        transfer(2000, 0, 32),
        transfer(5, 100, 40, Command.WRITE),
        transfer(5, 300, 1),
        transfer(5, 20, 50),
    ]
    requests = requests_of(transfers, tiny_config(*BANKED).dram)
    assert requests.addresses.tolist() == [0, 32, 64, 288, 96, 128, 0]
    assert requests.is_write.tolist() == [False] * 4 + [True] * 2 + [False]
    assert list(requests.comments()) == ["1 spikes"] * 6 + ["2 spikes"]


def test_a_channel_s_own_addresses() -> None:
    """Two channels change every 64 bytes: channel 1 has bytes 64 to 127 and 192 to 255, its own 0 to 127."""
    transfers = [transfer(0, 32, 192), transfer(1, 0, 64), transfer(2, 200, 8)]
    requests = requests_of(transfers, tiny_config(*BANKED).dram, channel=1)
    assert requests.addresses.tolist() == [0, 32, 64, 64]
    assert requests.transfers == (transfers[0], transfers[2])


def test_the_channels_together_have_every_burst(config: Config, requests: StepRequests) -> None:
    transfers = list(requests.transfers)
    parts = [requests_of(transfers, config.dram, channel) for channel in range(2)]
    assert sum(len(part.addresses) for part in parts) == len(requests.addresses)
    block = requests.addresses // 64
    for channel, part in enumerate(parts):
        mine = requests.addresses[block % 2 == channel]
        assert part.addresses.tolist() == (mine // 128 * 64 + mine % 64).tolist()


def test_lines_read_back_equal(tmp_path: Path, requests: StepRequests) -> None:
    for dialect, first in (("requests", "R 0x0  # 0 inputs"), ("ramulator", "LD 0x0")):
        path = tmp_path / dialect
        write_requests(requests, path, dialect)  # type: ignore[arg-type]  # a literal in the line above
        addresses, is_write = read_request_trace(path, 32, 2**20)
        assert np.array_equal(addresses, requests.addresses)
        assert np.array_equal(is_write, requests.is_write)
        assert path.read_text().splitlines()[0] == first


def test_a_table_has_a_row_for_every_burst(tmp_path: Path, requests: StepRequests) -> None:
    write_parquet(requests, tmp_path / "requests.parquet")
    table = pq.read_table(tmp_path / "requests.parquet")
    columns = table.to_pydict()
    assert columns["address"] == requests.addresses.tolist()
    assert columns["write"] == requests.is_write.tolist()
    assert [f"{c} {s}" for c, s in zip(columns["cycle"], columns["stream"], strict=True)] == list(requests.comments())
    assert {requests.transfers[i].channel for i in columns["transaction"]} == set(columns["dma_channel"])
    assert list(tmp_path.iterdir()) == [tmp_path / "requests.parquet"]


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_is_not_there(config: Config, channel: int) -> None:
    with pytest.raises(InputError, match=f"^--channel: no such channel, got {channel}, allowed: 0 to 1$"):
        record_requests(make_trace(*STEP), config, channel)
