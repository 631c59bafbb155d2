"""Replay against the reference simulator: every number of its tables, closed forms, and mutants that must be seen."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_models.errors import InputError
from tlm.memory.controller import CONTROLLERS
from tlm.memory.reference import BASE_CSV, VARIANTS_CSV
from tlm.memory.reference.traces import TRACES, reference_trace
from tlm.memory.replay import ReplayResult, replay
from tlm.memory.standard import DramStandard, load_standard


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


BASE, VARIANTS = rows(BASE_CSV), rows(VARIANTS_CSV)
SAMPLED = ("t3_seq_2r1w", "t4_rand_read_64m", "t8b_four_streams_staggered")


def run(row: dict[str, str]) -> ReplayResult:
    standard = load_standard(row["standard"])
    return replay(*reference_trace(row["standard"], row["trace"]), standard, CONTROLLERS[row["config"]])


def check(row: dict[str, str], result: ReplayResult) -> None:
    """Equal in every column; latencies' mean to the digits printed."""
    assert result.cycles_total == float(row["cycles_total"])
    counts = (result.row_hits, result.row_misses, result.row_conflicts)
    assert counts == tuple(int(row[key]) for key in ("row_hits", "row_misses", "row_conflicts"))
    assert (result.reads, result.writes) == (int(row["reads"]), int(row["writes"]))
    assert result.cycles_last_request_accepted == float(row["cycles_last_request_accepted"])
    assert result.bandwidth_gbps == pytest.approx(float(row["bw_GBps"]), abs=6e-5)
    if result.reads:
        assert result.read_latency_mean == pytest.approx(float(row["avg_read_latency_cycles"]), abs=6e-4)
        for key, value in (("p50", result.read_latency_p50), ("max", result.read_latency_max)):
            assert value == float(row[f"{key}_read_latency_cycles"])
        assert result.read_latency_min == float(row["min_read_latency_cycles"])
        assert result.read_latency_p99 == float(row["p99_read_latency_cycles"])
    if result.writes:
        assert result.write_wait_mean == pytest.approx(float(row["avg_write_accept_to_WR_cycles"]), abs=6e-4)
    assert result.read_queue_mean == pytest.approx(float(row["read_queue_len_avg"]), abs=4e-2)
    assert result.write_queue_mean == pytest.approx(float(row["write_queue_len_avg"]), abs=4e-2)


def test_the_peak_is_that_of_the_pseudo_channels_in_use() -> None:
    standard, reads = load_standard("HBM2"), np.zeros(4, np.bool_)
    peaks = [replay(np.arange(4) * 64, reads, standard, CONTROLLERS[name]).peak_gbps for name in ("base", "hbm2_pc1")]
    assert peaks == [32.0, 16.0]  # 64 bit each at 2 Gb/s a pin


@pytest.mark.parametrize("row", BASE, ids=[f"{row['standard']}-{row['trace']}" for row in BASE])
def test_base_rows_are_equal(row: dict[str, str]) -> None:
    result = run(row)
    check(row, result)
    names = {"PRE": "n_PREpb", "PREAB": "n_PREab", "REFAB": "n_REFab"}
    for command, count in result.command_counts.items():
        column = names.get(command, f"n_{command}")
        if column in row:
            assert count == int(row[column]), command


@pytest.mark.parametrize("config", sorted({row["config"] for row in VARIANTS}))
def test_variants_are_equal_on_three_traces(config: str) -> None:
    for row in VARIANTS:
        if row["config"] == config and row["trace"] in SAMPLED:
            check(row, run(row))


@pytest.mark.slow
@pytest.mark.parametrize("config", sorted({row["config"] for row in VARIANTS}))
def test_variants_are_equal_on_the_other_traces(config: str) -> None:
    for row in VARIANTS:
        if row["config"] == config and row["trace"] not in SAMPLED:
            check(row, run(row))


@pytest.mark.parametrize(
    ("standard", "trace", "cycles"),
    [
        ("DDR4", "t5_stride_1k", 1 + 16 + 19_999 * 4 + 16 + 4),
        ("DDR4", "t6_stride_row", 1 + 19_999 * 55 + 16 + 16 + 4),
        ("HBM2", "t6_stride_row", 959_984),
        ("LPDDR5", "t6_stride_row", 979_987),
        ("HBM3", "t6_stride_row", 1 / 2 + 19_999 * 72 + 32 + 22),  # ACT's last tick to RD: 31 clocks, at a rising edge
    ],
)
def test_closed_forms(standard: str, trace: str, cycles: float) -> None:
    result = replay(*reference_trace(standard, trace), load_standard(standard), CONTROLLERS["norefresh"])
    assert result.cycles_total == cycles


def test_one_read_of_an_idle_channel() -> None:
    one = replay(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.bool_), load_standard("DDR4"), CONTROLLERS["base"])
    assert one.cycles_total == 1 + 16 + 16 + 4
    assert (one.read_latency_mean, one.read_latency_p50, one.read_latency_p99) == (37, 37, 37)
    assert one.time_ns == pytest.approx(37 * 0.833)
    assert one.command_counts["ACT"] == one.command_counts["RD"] == 1


def without(standard: DramStandard, **timings: int) -> DramStandard:
    """A standard with timings that no table would be allowed."""
    return replace(standard, timings={**standard.timings, **timings})


MUTANTS = [
    ("DDR4", "t1_seq_read", "base", {"nCCDL": 4}),
    ("DDR4", "t4_rand_read_64m", "base", {"nFAW": 0}),
    ("HBM2", "t4_rand_read_64m", "base", {"nRAS": 0, "nRC": 0}),
    ("DDR4", "t6_stride_row", "base", {"nRC": 54, "nRAS": 38}),
    ("DDR4", "t6_stride_row", "norefresh", {"nRP": 17, "nRC": 0}),
    ("LPDDR5", "t3_seq_2r1w", "base", {"nWTRS": 0, "nWTRL": 0}),
    ("HBM2", "t8_four_streams", "base", {"nWR": 0}),
    ("DDR4", "t1_seq_read", "base", {"nRFC": 1}),
    ("HBM3", "t3_seq_2r1w", "base", {"nRTW": 0}),
    ("LPDDR5", "t4_rand_read_64m", "base", {"nAAD": 1}),
    ("HBM3", "t1_seq_read", "mop4clxor_noref", {"nCCDR": 2}),
    ("DDR4", "t4_rand_read_64m", "base", {"nRRDL": 4}),
]


@pytest.mark.parametrize(("standard", "trace", "config", "timings"), MUTANTS)
def test_a_changed_timing_is_seen(standard: str, trace: str, config: str, timings: dict[str, int]) -> None:
    changed = without(load_standard(standard), **timings)
    row = next(r for r in BASE + VARIANTS if (r["standard"], r["trace"], r["config"]) == (standard, trace, config))
    assert replay(*reference_trace(standard, trace), changed, CONTROLLERS[config]).cycles_total != float(
        row["cycles_total"]
    )


@pytest.mark.parametrize(
    ("trace", "changes"),
    [
        ("t3_seq_2r1w", {"write_high": 0.2, "write_low": 0.2}),
        ("t3_seq_2r1w", {"write_low": 0.8}),
        ("t4_rand_read_64m", {"read_queue": 31}),
        ("t8_four_streams", {"scheduler": "FRFCFSRowHit"}),
        ("t1_seq_read", {"refresh": "none"}),
        ("t5_stride_1k", {"mapping": "MOP4CLXOR"}),
    ],
)
def test_a_changed_policy_is_seen(trace: str, changes: dict[str, object]) -> None:
    controller = replace(CONTROLLERS["base"], **changes)  # type: ignore[arg-type]
    row = next(r for r in BASE if (r["standard"], r["trace"]) == ("DDR4", trace))
    cycles = replay(*reference_trace("DDR4", trace), load_standard("DDR4"), controller).cycles_total
    assert cycles != float(row["cycles_total"])


def test_shared_row_bus_is_what_bounds_random_reads_of_hbm2() -> None:
    """Two clocks for each ACT and one for each PRE, of both pseudo-channels: 60,000 cycles for 20,000 conflicts."""
    requests = reference_trace("HBM2", "t5_stride_1k")
    result = replay(*requests, load_standard("HBM2"), CONTROLLERS["norefresh"])
    bus = 2 * result.command_counts["ACT"] + result.command_counts["PRE"]
    assert bus <= result.cycles_total < 1.02 * bus


def test_channels_share_the_requests() -> None:
    standard, requests = load_standard("HBM2"), reference_trace("HBM2", "t1_seq_read")
    one = replay(*requests, standard, CONTROLLERS["base"])
    four = replay(*requests, standard, CONTROLLERS["base"], channels=4)
    quarter = replay(requests[0][:5000], requests[1][:5000], standard, CONTROLLERS["base"])
    assert four.cycles_total == quarter.cycles_total, "interleaved by bursts, each channel reads a quarter in sequence"
    assert (four.requests, four.bytes, four.peak_gbps) == (one.requests, one.bytes, 4 * one.peak_gbps)
    assert four.row_hits + four.row_misses + four.row_conflicts == 20_000
    coarse = replay(*requests, standard, CONTROLLERS["base"], channels=4, interleave_bytes=256)
    assert coarse.cycles_total == quarter.cycles_total


def test_command_logs_are_kept_on_request() -> None:
    result = replay(
        *reference_trace("DDR4", "t4_rand_read_64m", 500), load_standard("DDR4"), CONTROLLERS["base"], 2, True
    )
    assert [len(log) > 500 for log in result.commands] == [True, True]
    assert sum(len(log) for log in result.commands) == sum(result.command_counts.values())
    silent = replay(*reference_trace("DDR4", "t4_rand_read_64m", 500), load_standard("DDR4"), CONTROLLERS["base"], 2)
    assert [len(log) for log in silent.commands] == [0, 0]
    assert silent.cycles_total == result.cycles_total


def test_trace_names_are_those_of_the_table() -> None:
    assert {row["trace"] for row in BASE} == set(TRACES)
    assert {row["config"] for row in VARIANTS} | {"base"} == set(CONTROLLERS)


def test_words_of_mistakes() -> None:
    standard, none = load_standard("DDR4"), np.zeros(0, dtype=np.int64)
    one = np.zeros(1, dtype=np.int64)
    with pytest.raises(InputError, match=r"^requests: nothing to replay, got 0$"):
        replay(none, none.astype(np.bool_), standard, CONTROLLERS["base"])
    with pytest.raises(InputError, match=r"^channels: must be a whole number, got 0, allowed: 1 or more$"):
        replay(one, one.astype(np.bool_), standard, CONTROLLERS["base"], channels=0)
    with pytest.raises(InputError, match=r"^interleave_bytes: channels change between bursts only, got 96, .*of 64$"):
        replay(one, one.astype(np.bool_), standard, CONTROLLERS["base"], channels=2, interleave_bytes=96)
    with pytest.raises(
        InputError, match=r"^address: address beyond the channel's capacity, got '0x200000000', allowed"
    ):
        replay(one + (8 << 30), one.astype(np.bool_), standard, CONTROLLERS["base"])
    with pytest.raises(
        InputError, match=r"^address: address is not a multiple of the burst, got '0x20', allowed: mult"
    ):
        replay(one + 32, one.astype(np.bool_), standard, CONTROLLERS["base"])
