"""Times the scaling study: 1 to 4,096 chips, ring and tree, strong and weak scaling, from stored traces.

The traces (digits-conv of 32 images, cifar-cnn of two micro-batches of one image) are captured once and kept in the
cache folder. Each study is a process of its own, the command line as it is typed, with nothing to take over.

.venv/bin/python scripts/bench_scaling.py [--networks NAME ...] [--workers N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tlm.analysis.bandwidth.captures import captured_trace
from tlm.config import load_config
from workloads.network import load_network
from workloads.training_settings import TrainingSettings

LIMIT_S = 30.0
STEPS = {"digits-conv": (32, 8), "cifar-cnn": (2, 1)}
"""Images of the step, and of a micro-batch."""


def main() -> int:
    """Run the studies, print what they took, and return 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for network in arguments.networks:
        results.append(measure(network, capture(network), arguments.workers))
        print(describe(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if all(result["good"] for result in results) else 1


def capture(network: str) -> Path:
    """Return a kept trace of the first training step of a network."""
    images, micro_batch = STEPS[network]
    arithmetic = load_config(overrides=(f"arithmetic.micro_batch={micro_batch}",)).contract
    return captured_trace(TrainingSettings(load_network(network), 1, 1, arithmetic, batch=images, evaluated=1))


def measure(network: str, trace: Path, workers: int) -> dict[str, object]:
    """Time the whole command on a trace, with a folder of its own."""
    before = _children_seconds()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tlm.cli", "study", "scaling", str(trace), "--out", folder]
        started = time.perf_counter()
        subprocess.run([*command, "--workers", str(workers)], check=True, stdout=subprocess.DEVNULL)
        wall_s = time.perf_counter() - started
        content = json.loads((Path(folder) / "scaling.json").read_text(encoding="utf-8"))
    return {
        "network": network,
        "images": content["captured_images"],
        "points": len(content["rows"]),
        "most_chips": max(row["chips"] for row in content["rows"]),
        "workers": workers,
        "wall_s": round(wall_s, 1),
        "processor_s": round(_children_seconds() - before, 1),
        "load_average": os.getloadavg()[0],
        "limit_s": LIMIT_S,
        "good": wall_s < LIMIT_S,
    }


def describe(result: dict[str, object]) -> str:
    """One result as text."""
    return (
        f"{result['network']}, {result['images']} images: {result['points']} points to {result['most_chips']} chips on "
        f"{result['workers']} processes in {result['wall_s']} s (limit {result['limit_s']} s), "
        f"{result['processor_s']} s of processor time, load {result['load_average']:.1f}"
    )


def _children_seconds() -> float:
    """Processor time of the processes that have ended, and of theirs."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


if __name__ == "__main__":
    sys.exit(main())
