"""Occupancy over time: nothing lost, nothing on the wrong channel, no share above one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.bandwidth.conftest import NOTHING_FITS, STEP
from tests.end_to_end.steps import make_trace
from tlm.analysis.bandwidth.occupancy import BINS, DRAM_CHANNEL, bytes_on_channel, occupancy, spread
from tlm.config import load_config
from tlm.simulation import simulate


@given(st.integers(0, 2000), st.integers(1, 900), st.integers(1, 5), st.integers(1, 64))
def test_bytes_of_a_channel_are_those_counted_one_by_one(address: int, length: int, channels: int, step: int) -> None:
    owners = [byte // step % channels for byte in range(address, address + length)]
    at, size = np.array([address]), np.array([length])
    for channel in range(channels):
        assert bytes_on_channel(at, size, channel, channels, step) == [owners.count(channel)]


def test_an_amount_is_spread_evenly_over_its_time() -> None:
    edges = np.arange(5) * 10
    start, end, amount = np.array([5, 10]), np.array([25, 20]), np.array([10.0, 5.0])
    assert spread(start, end, amount, edges) == [0.25, 1.0, 0.25, 0.0]
    none = np.zeros(0, np.int64)
    assert spread(none, none, np.zeros(0), edges) == [0.0] * 4
    assert spread(np.array([3]), np.array([3]), np.array([1.0]), edges) == [0.1, 0.0, 0.0, 0.0]  # in no time at all


def test_shares_of_a_step_add_up_to_its_bytes_and_busy_times() -> None:
    config = load_config("h2learn", NOTHING_FITS)
    result = simulate(make_trace(*STEP), config)
    bin_ps, parts = occupancy(result, config)
    shares = {part["part"]: np.array(part["share"]) for part in parts}
    assert set(shares) == {f"{DRAM_CHANNEL}{n}" for n in range(config.dram.channels)} | set(result.engines)
    for name, values in shares.items():
        assert len(values) == -(-result.time_ps // bin_ps) <= BINS, name
        assert 0 <= values.min() <= values.max() <= 1
    for engine, time in result.engines.items():
        assert shares[engine].sum() * bin_ps == pytest.approx(time.busy_ps, rel=0.01, abs=bin_ps / 50)
    moved = sum(result.dram_read_bytes.values()) + sum(result.dram_written_bytes.values())
    bins = sum(shares[f"{DRAM_CHANNEL}{n}"].sum() for n in range(config.dram.channels))
    bytes_per_bin = bin_ps * result.dram_peak_bytes_per_us / config.dram.channels / 1e6
    assert bins * bytes_per_bin == pytest.approx(moved, rel=0.03)
