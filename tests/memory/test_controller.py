"""A banked channel: every request served once, state kept between calls, and the words of every mistake."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.memory.commands import DramCommand as C
from tlm.memory.controller import CONTROLLERS, ControllerConfig, DramChannel, IntArray
from tlm.memory.reference.traces import reference_trace
from tlm.memory.standard import load_standard

STANDARDS = {name: load_standard(name) for name in ("DDR4", "LPDDR5", "HBM2", "HBM3", "DDR4-2400", "HBM2-V100")}
STANDARDS["DDR4 of 2 ranks"] = load_standard("DDR4", ("ranks=2",))
COLUMN = (C.RD, C.WR, C.RDA, C.WRA)

settings.register_profile("dram", deadline=None, derandomize=True, max_examples=25)
property_test = settings(settings.get_profile("dram"))


def channel(standard: str = "DDR4", controller: str = "base", log: bool = False) -> DramChannel:
    return DramChannel(STANDARDS[standard], CONTROLLERS[controller], log_commands=log, log_latencies=log)


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[IntArray, bool, int]]:
    """Transactions (bursts, write?, ticks since the one before): short runs in few rows of few banks."""
    found = []
    for _ in range(draw(st.integers(1, 12))):
        first = draw(st.integers(0, 400)) * draw(st.sampled_from([1, 16, 128, 2048]))
        step = draw(st.sampled_from([1, 1, 1, 8, 128]))
        bursts = first + step * np.arange(draw(st.integers(1, 40)), dtype=np.int64)
        found.append((bursts, draw(st.booleans()), draw(st.sampled_from([0, 0, 1, 7, 100, 3000, 20_000]))))
    return found


def offer(dram: DramChannel, bursts: list[tuple[IntArray, bool, int]]) -> None:
    arrival = 0
    for number, (lines, is_write, gap) in enumerate(bursts):
        arrival += gap
        dram.run(arrival)
        dram.add(lines * dram.standard.burst_bytes, is_write, number, arrival)


def log_of(dram: DramChannel) -> list[tuple[int, ...]]:
    return [tuple(record) for record in dram.commands.tolist()]


POLICIES = st.sampled_from(
    ["base", "norefresh", "mop4clxor", "rowhit_sched", "rowhit_mop", "chrabaroco", "closed_cap4", "queue8", "send1"]
)


@property_test
@given(batches(), st.sampled_from(sorted(STANDARDS)), POLICIES)
def test_every_request_is_served_exactly_once(
    bursts: list[tuple[IntArray, bool, int]], standard: str, controller: str
) -> None:
    dram = channel(standard, controller, log=True)
    offer(dram, bursts)
    dram.run_until_idle()
    n, log = dram.statistics, dram.commands
    served = Counter(log["request"][np.isin(log["command"], COLUMN)].tolist())
    total = sum(len(lines) for lines, _, _ in bursts)
    assert set(served.values()) <= {1}
    assert len(served) == total - n.forwarded_reads - n.coalesced_writes
    assert n.reads + n.writes == total
    assert n.row_hits + n.row_misses + n.row_conflicts == len(served)
    assert int(dram.latencies.sum()) == n.reads
    assert sorted(number for number, _ in dram.completed) == list(range(len(bursts)))
    assert dram.idle
    assert dram.idle_tick == dram.now
    assert max(tick for _, tick in dram.completed) <= dram.now


@property_test
@given(batches(), st.sampled_from(sorted(STANDARDS)), POLICIES, st.lists(st.integers(1, 500), max_size=20))
def test_pieces_of_a_run_are_the_run(
    bursts: list[tuple[IntArray, bool, int]], standard: str, controller: str, pieces: list[int]
) -> None:
    whole, cut = channel(standard, controller, log=True), channel(standard, controller, log=True)
    for dram in (whole, cut):
        offer(dram, bursts)
    for ticks in pieces:
        cut.run(cut.now + ticks, stop_at_completion=ticks % 2 == 0)
    end = max(whole.run_until_idle(), cut.run_until_idle())
    assert whole.run(end) == cut.run(end) == end
    assert log_of(whole) == log_of(cut)
    assert whole.statistics == cut.statistics
    assert sorted(whole.completed) == sorted(cut.completed)


def test_stops_in_the_tick_of_a_completion() -> None:
    dram = channel()
    dram.add(np.array([0], dtype=np.int64), False, 7, 0)
    dram.add(np.array([64], dtype=np.int64), False, 8, 10)
    assert dram.run(10**6, stop_at_completion=True) == 37
    assert dram.completed == [(7, 37)]
    assert dram.run(10**6, stop_at_completion=True) == 43, "nCCD_L after the first read"
    assert dram.completed == [(7, 37), (8, 43)]
    assert dram.run(100, stop_at_completion=True) == 100


def test_writes_are_posted() -> None:
    dram = channel()
    dram.add(64 * np.arange(40, dtype=np.int64), True, 1, 5)
    tick = dram.run(10**6, stop_at_completion=True)
    left = (
        40 - 32
    )  # writes that must leave the queue for the last: one with its ACT, the others with WR, after the first
    assert tick == 5 + 1 + 16 + 6 * (left - 1)
    assert dram.idle_tick is None
    assert dram.run_until_idle() == dram.idle_tick == 5 + 1 + 16 + 39 * 6 + 12 + 4


def test_a_read_of_a_buffered_write_is_forwarded_and_a_second_write_absorbed() -> None:
    dram = channel()
    dram.add(np.array([0, 64, 0], dtype=np.int64), np.array([True, True, True]), 1, 0)
    dram.add(np.array([0], dtype=np.int64), False, 2, 0)
    assert dram.run(10, stop_at_completion=True) == 0, "writes are complete when accepted"
    dram.run(10)
    assert dram.completed == [(1, 0), (2, 1)]
    n = dram.statistics
    assert (n.coalesced_writes, n.forwarded_reads, n.commands["RD"]) == (1, 1, 0)
    dram.run_until_idle()
    assert dram.statistics.commands["WR"] == 2


def test_transactions_may_mix_and_come_in_parts() -> None:
    dram = channel()
    addresses = 64 * np.arange(4, dtype=np.int64)
    dram.add(addresses, np.array([True, False, True, False]), 5, 0)
    dram.add(addresses + 4096, False, 5, 0)
    for number in range(20):
        dram.add(addresses + 8192 * (number + 1), False, 100 + number, 0)
    dram.run_until_idle()
    done = dict(dram.completed)
    assert len(done) == len(dram.completed) == 21
    assert done[5] < done[119]


def test_refresh_comes_while_idle_and_arrivals_wait_for_it() -> None:
    refreshed, idle = channel(log=True), STANDARDS["DDR4"].timings["nREFI"]
    refreshed.run(3 * idle + 1)
    assert refreshed.statistics.commands["REFAB"] == 3
    assert refreshed.commands["tick"].tolist() == [idle, 2 * idle, 3 * idle]
    refreshed.add(np.array([0], dtype=np.int64), False, 1, 3 * idle + 1)
    refreshed.run_until_idle()
    assert refreshed.completed == [(1, 3 * idle + 433 + 36)]


def test_ranks_cost_a_turn_of_the_bus() -> None:
    dram = channel("DDR4 of 2 ranks", log=True)
    rank = 128 * 64
    dram.add(np.array([0, rank, 64, rank + 64], dtype=np.int64), False, 1, 0)
    dram.run_until_idle()
    reads = dram.commands[dram.commands["command"] == C.RD]
    assert sorted(Counter(reads["unit"].tolist()).values()) == [2, 2]
    for before, after in pairwise(reads):
        assert after["tick"] - before["tick"] >= (4 + 2 if before["unit"] != after["unit"] else 6)


def test_log_names_bank_row_and_column() -> None:
    dram = channel("HBM3", "norefresh", log=True)
    address = 5 * 32 + 1 * 1024 + 1 * 2048 + 3 * 4096 + 2 * 16384 + 9 * 65536
    dram.add(np.array([address], dtype=np.int64), True, 1, 0)
    dram.run_until_idle()
    activate, write = dram.commands
    assert (activate["command"], activate["row"], activate["column"], activate["tick"]) == (C.ACT, 9, -1, 1)
    assert (write["command"], write["row"], write["column"], write["request"]) == (C.WR, 9, 5, 0)
    assert [write[name] for name in ("unit", "stack_id", "group", "bank")] == [1, 1, 3, 2]


def test_unit_commands_name_no_bank() -> None:
    dram = channel("HBM2", log=True)
    dram.add(np.array([0, 1024], dtype=np.int64), False, 1, 0)
    dram.run(5000)
    log = dram.commands
    refresh = log[log["command"] == C.REFAB]
    assert refresh["unit"].tolist() == [0, 1]
    assert set(refresh["group"].tolist()) | set(refresh["bank"].tolist()) | set(refresh["row"].tolist()) == {-1}


def test_per_bank_refresh_of_hbm2_walks_all_banks() -> None:
    dram = DramChannel(STANDARDS["HBM2"], replace(CONTROLLERS["base"], refresh="per_bank"), log_commands=True)
    dram.run(122 * 33)
    log = dram.commands
    assert log["tick"].tolist() == [122 * (i + 1) for i in range(33)]
    assert log["unit"].tolist() == [0] * 16 + [1] * 16 + [0]


def test_data_clock_always_on_needs_no_cas() -> None:
    requests = reference_trace("LPDDR5", "t4_rand_read_64m", 300)
    for controller, some in (("base", True), ("lpddr5_wck_on", False)):
        dram = channel("LPDDR5", controller)
        dram.add(*requests, 0, 0)
        dram.run_until_idle()
        assert (dram.statistics.commands["CAS"] > 0) is some


def test_pseudo_channels_can_be_fewer_and_addresses_wrap() -> None:
    standard = STANDARDS["HBM2"]
    dram = channel("HBM2", "hbm2_pc1", log=True)
    half = standard.capacity_bytes // 2
    dram.add(np.array([0, half], dtype=np.int64), False, 1, 0)
    dram.run_until_idle()
    assert dram.statistics.row_hits == 1, "the same burst of the smaller channel"
    assert set(dram.commands["unit"].tolist()) == {0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"read_queue": 0}, r"^controller: read_queue: must be a whole number, got 0, allowed: 1 or more$"),
        ({"write_queue": 0}, r"^controller: write_queue: must be a whole number, got 0, allowed: 1 or more$"),
        ({"write_queue": 2.5}, r"^controller: write_queue: must be a whole number, got 2\.5, allowed: 1 or more$"),
        ({"row_cap": 0}, r"^controller: row_cap: must be a whole number, got 0, allowed: 1 or more$"),
        (
            {"offers_per_cycle": -1},
            r"^controller: offers_per_cycle: must be a whole number, got -1, allowed: 0 or more$",
        ),
        (
            {"mapping": "x"},
            r"^controller: mapping: unknown choice, got 'x', allowed: RoBaRaCoCh, ChRaBaRoCo, MOP4CLXOR$",
        ),
        ({"scheduler": "x"}, r"^controller: scheduler: unknown choice, got 'x', allowed: FRFCFS, FRFCFSRowHit$"),
        ({"row_policy": "x"}, r"^controller: row_policy: unknown choice, got 'x', allowed: open, closed$"),
        ({"refresh": "x"}, r"^controller: refresh: unknown choice, got 'x', allowed: none, all_bank, per_bank$"),
        ({"write_low": 0.9}, r"^controller: must be 0 <= write_low <= write_high <= 1, got \(0\.9, 0\.8\)$"),
    ],
)
def test_words_for_controllers(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(ControllerConfig(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("standard", "changes", "words"),
    [
        ("DDR4", {"refresh": "per_bank"}, r"^DDR4: has no per-bank refresh, got 'per_bank', allowed: all_bank, none$"),
        ("DDR4", {"data_clock_always_on": True}, r"^DDR4: has no data clock that stops, .*allowed: LPDDR5$"),
        ("DDR4", {"pseudo_channels": 1}, r"^DDR4: no such number of pseudo-channels, got 1, allowed: HBM2, HBM3$"),
        ("HBM2", {"pseudo_channels": 3}, r"^HBM2: no such number of pseudo-channels, got 3, allowed: 1 to 2$"),
    ],
)
def test_words_for_what_a_standard_does_not_have(standard: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        DramChannel(STANDARDS[standard], replace(ControllerConfig(), **changes))  # type: ignore[arg-type]


def test_words_for_transactions() -> None:
    dram, one = channel(), np.zeros(1, dtype=np.int64)
    with pytest.raises(InputError, match=r"^transaction 1: a transaction without bursts$"):
        dram.add(one[:0], False, 1, 0)
    with pytest.raises(
        InputError, match=r"^transaction: a transaction's number is negative, got -1, allowed: 0 or more$"
    ):
        dram.add(one, False, -1, 0)
    with pytest.raises(
        InputError, match=r"^address: address beyond the channel's capacity, got '-0x40', allowed: below"
    ):
        dram.add(one - 64, False, 1, 0)
    with pytest.raises(
        InputError, match=r"^address: address is not a multiple of the burst, got '0x1', .*of 64 bytes$"
    ):
        dram.add(one + 1, False, 1, 0)
    dram.run(9)
    with pytest.raises(InputError, match=r"^transaction 1: arrives in the past, got 8, allowed: 9 or later$"):
        dram.add(one, False, 1, 8)
    dram.add(one, False, 1, 20)
    with pytest.raises(InputError, match=r"^transaction 2: arrives in the past, got 19, allowed: 20 or later$"):
        dram.add(one, False, 2, 19)


def test_refreshes_faster_than_they_can_be_done_are_refused() -> None:
    standard = STANDARDS["HBM2"]
    hurried = replace(standard, timings={**standard.timings, "nREFIpb": 1})
    dram = DramChannel(hurried, replace(CONTROLLERS["base"], refresh="per_bank"))
    with pytest.raises(InputError, match=r"^HBM2: nREFI: refreshes come faster than they can be done$"):
        dram.run(10**6)
