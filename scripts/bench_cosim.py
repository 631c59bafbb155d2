"""Measure the co-simulation of a whole training step: every stream of every engine through the Verilated hardware.

Trains a network for some steps, captures the last one, and runs `--cosim all` on it. The units are built before the
clock starts; the time shown includes the references, the cycle laws and all comparisons.

Usage: python scripts/bench_cosim.py [--network NAME] [--steps N] [--batch N] [--trace FILE] [--json FILE]
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

from tlm.cli.cosim import print_result
from tlm.cli.main import main as h2learn
from tlm.cosim import CosimResult, cosimulate

BUILDING_STREAMS = 1  # a sample, as small as it can be, has every unit built


def measure(trace: Path) -> dict[str, object]:
    """Co-simulate a trace twice: a small sample, which builds the units, then everything on the clock."""
    cosimulate(trace, mode="sample", simulator="verilator", sample_streams=BUILDING_STREAMS)
    before, started = _processor_seconds(), time.perf_counter()
    result = cosimulate(trace, mode="all", simulator="verilator", out=trace.parent)
    wall_s, processor_s = time.perf_counter() - started, _processor_seconds() - before
    print_result(result)
    return _figures(result) | {
        "processors": len(os.sched_getaffinity(0)),
        "wall_s": round(wall_s, 1),
        "processor_s": round(processor_s, 1),
    }


def _figures(result: CosimResult) -> dict[str, object]:
    """What was compared, and what differed."""
    names = ("streams", "tiles", "results", "trace_results", "transfers", "measured_cycles", "mismatched_bits")
    figures: dict[str, object] = {name: result.total(name) for name in names}
    figures["difference_cycles"] = sum(entry.difference_cycles for entry in result.comparisons)
    return {"network": result.network, "passed": result.passed, **figures}


def _processor_seconds() -> float:
    """Processor time of this process and its children so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="digits-conv")
    parser.add_argument("--steps", type=int, default=45, help="training steps, the last of which is co-simulated")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--trace", type=Path, help="a trace, instead of training")
    parser.add_argument("--json", type=Path, help="write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "step.trace")
        if arguments.trace is not None:
            trace.symlink_to(arguments.trace.absolute())
        else:
            sizes = ["--steps", str(arguments.steps), "--batch", str(arguments.batch)]
            if h2learn(["train", arguments.network, *sizes, "--out", str(trace)]) != 0:
                sys.exit(2)
        figures = measure(trace)
    print(json.dumps(figures, indent=2))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
