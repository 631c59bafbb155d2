"""Times the banked DRAM controller on long traces, one thread, against the cycle-level reference simulator.

.venv/bin/python scripts/bench_dram.py [--repeats N] [--json FILE]

A trace of the reference is repeated to 200,000 requests, as for the reference's own figures. Seconds are of the whole
replay: decoding of addresses, simulation, statistics.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tlm.memory.controller import CONTROLLERS
from tlm.memory.reference.traces import reference_trace
from tlm.memory.replay import replay
from tlm.memory.standard import load_standard

REQUESTS = 200_000
TRACES = {"t1_seq_read": 5e6, "t4_rand_read_64m": 2e6}  # requests per second that are aimed at
REFERENCE = {  # requests per second of Ramulator 2.1, commit c5b1c3a4, with 200,000 requests, one thread
    ("DDR4", "t1_seq_read"): 392_310,
    ("DDR4", "t4_rand_read_64m"): 215_740,
    ("HBM2", "t1_seq_read"): 526_207,
    ("HBM2", "t4_rand_read_64m"): 169_740,
}
REFERENCE_CYCLES = {
    ("DDR4", "t1_seq_read"): 1_071_250,
    ("DDR4", "t4_rand_read_64m"): 1_362_428,
    ("HBM2", "t1_seq_read"): 387_389,
    ("HBM2", "t4_rand_read_64m"): 648_148,
}


def main() -> int:
    """Replay, print the table, and return 1 if cycles differ from the reference's or a speed is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    started = time.perf_counter()
    _timed("DDR4", "t1_seq_read", 1)
    first_s = time.perf_counter() - started
    print(f"first replay, with what had to be compiled: {first_s:.1f} s")
    print("million requests a second, by the thread's processor time and by the clock; ratio of the former")
    print(f"{'standard':9}{'trace':18}{'cycles':>10}{'processor':>11}{'clock':>8}{'reference':>11}{'ratio':>7}")
    rows = [_row(standard, trace, arguments.repeats) for standard, trace in REFERENCE]
    good = all(row["requests_per_cpu_s"] >= row["aim_per_s"] and row["cycles_equal"] for row in rows)
    if arguments.json:
        result = {"machine": platform.processor() or platform.machine(), "first_s": first_s, "rows": rows, "good": good}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if good else 1


def _row(standard: str, trace: str, repeats: int) -> dict[str, Any]:
    runs = [_timed(standard, trace, REQUESTS // 20_000) for _ in range(repeats)]
    median_s, cpu_s = (statistics.median(run[i] for run in runs) for i in (0, 1))
    cycles, reference = runs[0][2], REFERENCE[standard, trace]
    row: dict[str, Any] = {
        "standard": standard,
        "trace": trace,
        "requests": REQUESTS,
        "cycles": cycles,
        "cycles_equal": cycles == REFERENCE_CYCLES[standard, trace],
        "median_s": median_s,
        "cpu_median_s": cpu_s,
        "requests_per_s": REQUESTS / median_s,
        "requests_per_cpu_s": REQUESTS / cpu_s,
        "reference_requests_per_s": reference,
        "ratio": REQUESTS / cpu_s / reference,
        "aim_per_s": TRACES[trace],
    }
    numbers = f"{REQUESTS / cpu_s / 1e6:11.2f}{REQUESTS / median_s / 1e6:8.2f}{reference / 1e6:11.2f}"
    print(f"{standard:9}{trace:18}{cycles:10.0f}{numbers}{REQUESTS / cpu_s / reference:7.1f}")
    return row


def _timed(standard: str, trace: str, times: int) -> tuple[float, float, float]:
    """Return (wall seconds, processor seconds, cycles) of one replay of the trace `times` over."""
    given, given_writes = reference_trace(standard, trace)
    addresses, is_write = given[np.arange(times * len(given)) % len(given)], np.tile(given_writes, times) != 0
    model = load_standard(standard)
    started, cpu_started = time.perf_counter(), time.thread_time()
    result = replay(addresses, is_write, model, CONTROLLERS["base"])
    return time.perf_counter() - started, time.thread_time() - cpu_started, result.cycles_total


if __name__ == "__main__":
    sys.exit(main())
