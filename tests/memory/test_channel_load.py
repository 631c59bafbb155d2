"""The load of a watched banked channel: stretches that add up to what the channel counts, and change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.memory.test_banked_dram import HBM2, Request, make_dram, send
from tlm.kernel import Simulation
from tlm.kernel.payload import Command
from tlm.memory import channel_load
from tlm.memory.channel_load import ChannelLoad, ChannelSamples

REQUESTS: list[Request] = [
    (number * 400_000, Command.WRITE if number % 3 else Command.READ, 4096 * number, 2048) for number in range(40)
]


def watched(requests: list[Request]) -> tuple[list[ChannelLoad], list[dict[str, float]], int]:
    """Loads, what the channels count themselves, and the end of the run."""
    simulation = Simulation()
    dram = make_dram(simulation)
    dram.watch()
    send(dram, requests, {}, drain=True)
    end_ps = simulation.run()
    loads = dram.loads()
    counts = [vars(counted) for counted in dram._channels.statistics(0)]
    return loads, [{**count, "busy_ps": use.busy_ps} for count, use in zip(counts, dram.use(), strict=True)], end_ps


@pytest.mark.parametrize("most", [4096, 4])
def test_stretches_add_up_to_what_the_channels_count(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_load, "_MOST_SAMPLES", most)
    loads, counts, end_ps = watched(REQUESTS)
    for load, count in zip(loads, counts, strict=True):
        lengths_ps = np.diff(load.times_ps)
        assert load.times_ps[0] == 0
        assert load.times_ps[-1] >= end_ps
        assert (lengths_ps > 0).all()
        assert len(load.busy) == len(lengths_ps) > 2
        assert len(load.busy) <= most + 1
        assert (load.busy * lengths_ps).sum() == pytest.approx(count["busy_ps"])
        for queued, total in ((load.reads_queued, "read_queue_sum"), (load.writes_queued, "write_queue_sum")):
            assert queued is not None
            assert (queued * lengths_ps).sum() == pytest.approx(count[total] * HBM2.ps_of_tick(1))


def test_watching_changes_no_time() -> None:
    ends: dict[Request, list[int]] = {}
    simulation = Simulation()
    dram = make_dram(simulation)
    send(dram, REQUESTS, ends, drain=True)
    assert (simulation.run(), dram.loads()) == (watched(REQUESTS)[2], [])


def test_samples_are_taken_when_one_is_due() -> None:
    fronts = np.zeros((1, 100), np.int64)
    samples = ChannelSamples(HBM2)
    for now_ps in (0, 999_999, 1_000_000, 1_500_000, 2_000_000):
        fronts[0, 0] = HBM2.tick_of_ps(now_ps)
        if samples.due(now_ps):
            samples.take(fronts, now_ps)
    samples.take(fronts, 2_000_000)  # the same instant again
    assert samples.loads()[0].times_ps.tolist() == [0, 1_000_000, 2_000_000]
