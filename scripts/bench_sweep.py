"""Times a sweep of 1,000 points of hardware keys on one trace of digits-conv, in processes and on a Dask cluster.

What the machinery costs is all processor time (start of the processes included) beyond that inside the simulations. The
cluster is a scheduler and as many workers of one thread on this machine; it simulates every fifth point, and so do
processes for the comparison. Compiled kernels are there already: a first point sees to that.

.venv/bin/python scripts/bench_sweep.py [--points N] [--workers N] [--no-cluster] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from tlm.analysis.bandwidth.captures import captured_trace
from tlm.analysis.simulations import Processes, Runner, open_journal
from tlm.config import load_config
from tlm.sweep.cluster import WAIT, Cluster
from tlm.sweep.spec import SweepSpec, Values, parse_spec
from tlm.sweep.store import STORE
from tlm.sweep.sweep import JOURNAL, run_sweep
from workloads.network import load_network
from workloads.training_settings import TrainingSettings

AXES = {
    "dram.channels": (2, 4, 8, 12, 16),
    "backward_engine.units": tuple(range(64, 641, 64)),
    "forward_engine.arrays": (1, 2, 3, 4),
    "weight_update_engine.arrays": (1, 2, 3, 4, 5),
}
LIMIT_S, OVERHEAD_LIMIT, CLUSTER_LIMIT = 300.0, 0.05, 1.2
COMPARED = 5
"""Every so manieth point is compared between processes and cluster."""


def main() -> int:
    """Run the sweeps, print their figures, and return 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-cluster", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    everything = [dict(zip(AXES, values, strict=True)) for values in product(*AXES.values())]
    points = everything[:: max(1, len(everything) // arguments.points)]
    network = load_network("digits-conv")
    trace = captured_trace(TrainingSettings(network, 45, 45, load_config().contract))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Processes(1) as one:
            run_sweep(spec_of(trace, points[:1]), folder / "first", one)
        results = [in_processes(trace, points, arguments.workers, folder / "all")]
        if not arguments.no_cluster:
            some = points[::COMPARED]
            results.append(in_processes(trace, some, arguments.workers, folder / "processes"))
            results.append(on_cluster(trace, some, arguments.workers, folder / "cluster"))
            same = (folder / "processes" / STORE).read_bytes() == (folder / "cluster" / STORE).read_bytes()
            results[2]["good"] = same and results[2]["wall_s"] <= CLUSTER_LIMIT * results[1]["wall_s"]
    for result in results:
        print(describe(result), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if all(result["good"] for result in results) else 1


def spec_of(trace: Path, points: Sequence[Values]) -> SweepSpec:
    """A sweep of these points."""
    return parse_spec({"workload": {"trace": str(trace)}, "list": list(points)}, "benchmark")


def in_processes(trace: Path, points: Sequence[Values], workers: int, out: Path) -> dict[str, Any]:
    """Time a sweep in processes of this machine; its overhead is all processor time outside of the simulations."""
    before_s, began_s = processor_seconds(), time.perf_counter()
    with Processes(workers) as processes:
        run_sweep(spec_of(trace, points), out, processes)
    wall_s = time.perf_counter() - began_s
    spent_s, simulated_s = processor_seconds() - before_s, inside_seconds(out)
    overhead = spent_s / simulated_s - 1
    good = overhead < OVERHEAD_LIMIT and wall_s < LIMIT_S
    return figures("processes", len(points), wall_s, simulated_s) | {"overhead": overhead, "good": good}


def on_cluster(trace: Path, points: Sequence[Values], workers: int, out: Path) -> dict[str, Any]:
    """Time the same on a cluster of this machine that is there already."""
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as there,
        Processes(1) as unused,
    ):
        began_s = time.perf_counter()
        runner: Runner
        with Cluster(there.scheduler_address, WAIT, unused, print) as runner:
            run_sweep(spec_of(trace, points), out, runner)
        wall_s = time.perf_counter() - began_s
    return figures("cluster", len(points), wall_s, inside_seconds(out))


def figures(where: str, points: int, wall_s: float, simulated_s: float) -> dict[str, Any]:
    """What all results have in common."""
    return {
        "where": where,
        "points": points,
        "wall_s": wall_s,
        "simulated_processor_s": simulated_s,
        "load_average": os.getloadavg()[0],
    }


def describe(result: dict[str, Any]) -> str:
    """One result as text."""
    overhead = f", overhead {result['overhead']:.1%}" if "overhead" in result else ""
    return (
        f"{result['where']}: {result['points']} points in {result['wall_s']:.1f} s, of which "
        f"{result['simulated_processor_s']:.1f} s of processor time inside simulations{overhead}, "
        f"load {result['load_average']:.1f}: {'good' if result['good'] else 'missed'}"
    )


def inside_seconds(out: Path) -> float:
    """Processor time inside the simulations of a sweep, from its journal."""
    with open_journal(out / JOURNAL, "a sweep") as journal:
        return sum(done.processor_s for done in journal.done.values())


def processor_seconds() -> float:
    """Processor time of this process and its children that ended."""
    children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return sum(use.ru_utime + use.ru_stime for use in (children, own))


if __name__ == "__main__":
    sys.exit(main())
