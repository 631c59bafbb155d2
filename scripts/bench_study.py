"""Times the bandwidth study: digits-conv over 8 bandwidths x 4 buffer sizes, cifar-cnn (batch 8) over 8 bandwidths.

Each in processes of its own, with nothing to take over; the capture of the trace is timed apart. Compiled kernels are
there already (the capture and a first point see to that), as on every start but the first.

.venv/bin/python scripts/bench_study.py [--networks NAME ...] [--workers N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from tlm.analysis.bandwidth.study import BandwidthStudy, run_study

LIMITS_S = {"digits-conv": 60.0, "cifar-cnn": 300.0}
BUFFERS = {"digits-conv": "0.25,0.5,1,2", "cifar-cnn": "1"}
BATCH = {"digits-conv": "32", "cifar-cnn": "8"}


def main() -> int:
    """Run the studies, print the table, and return 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=LIMITS_S, default=list(LIMITS_S))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for network in arguments.networks:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(network, arguments.workers, Path(folder)))
        print(describe(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if all(result["good"] for result in results) else 1


def measure(network: str, workers: int, folder: Path) -> dict[str, object]:
    """Time the capture, with one point that compiles, and then the study of all points in a folder of its own."""
    asked = BandwidthStudy(network, buffers=BUFFERS[network], batch=BATCH[network], workers=workers)
    one = BandwidthStudy(network, dram="64GB/s,HBM2x8", buffers="1", batch=BATCH[network], workers=1)
    started = time.perf_counter()
    run_study(one, folder / "first")
    first_s = time.perf_counter() - started
    started, processor_s = time.perf_counter(), _processor_seconds()
    result = run_study(asked, folder / "all")
    wall_s = time.perf_counter() - started
    return {
        "network": network,
        "batch": BATCH[network],
        "workers": workers,
        "points": len(result.rows),
        "failed": sum(bool(row.get("error")) for row in result.rows),
        "capture_and_first_points_s": round(first_s, 1),
        "wall_s": round(wall_s, 1),
        "processor_s": round(_processor_seconds() - processor_s, 1),
        "load_average": os.getloadavg()[0],
        "limit_s": LIMITS_S[network],
        "good": wall_s < LIMITS_S[network],
    }


def describe(result: dict[str, object]) -> str:
    """One result as text."""
    return (
        f"{result['network']}: {result['points']} points ({result['failed']} failed) on {result['workers']} processes "
        f"in {result['wall_s']} s (limit {result['limit_s']} s), {result['processor_s']} s of processor time, "
        f"load {result['load_average']:.1f}\n"
        f"  before that, capture of the trace and two points: {result['capture_and_first_points_s']} s"
    )


def _processor_seconds() -> float:
    """Processor time of this process and its children so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    sys.exit(main())
