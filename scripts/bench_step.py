#!/usr/bin/env python3
"""Time and memory of one bit-exact training step of cifar-cnn, for one image and for eight.

Every batch size runs in a process of its own, so that its peak memory is its own: seeded starting weights, images of
the network's data set, one step that is not measured, then the medians. Processor time stands beside the time, because
other programs disturb it less. Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from rtl_models.errors import InputError
from rtl_models.reference.threads import set_threads, thread_count
from workloads.dataset import as_inputs
from workloads.learner import MachineLearner
from workloads.network import load_network
from workloads.training_settings import TrainingSettings
from workloads.training_step import train_step

NETWORK = "cifar-cnn"
TARGETS_S = {1: 2.0, 8: 8.0}  # on two processors, by images a step
TARGET_BYTES = 4 << 30


def first_step(network_name: str, batch: int) -> TrainingSettings:
    """Return the settings of a run of one step."""
    return TrainingSettings(load_network(network_name), 1, 1, batch=batch)


def measure(network_name: str, batch: int, repeats: int, threads: int) -> dict[str, Any]:
    """Return the figures of steps of `batch` images; meant for a process of its own."""
    set_threads(threads)
    settings = first_step(network_name, batch)
    network, arithmetic = settings.network, settings.arithmetic
    samples = next(settings.dataset.epoch_batches(settings.seed, 0, batch))
    inputs = as_inputs(samples.images, network)
    state = MachineLearner(settings).initial_state()
    optimiser = settings.optimiser(1, state.scale_log2)
    times, processor_times = [], []
    for _ in range(1 + repeats):
        start, processor_start = perf_counter(), process_time()
        train_step(network, arithmetic, state, inputs, samples.labels, optimiser)
        times.append(perf_counter() - start)
        processor_times.append(process_time() - processor_start)
    macs = 3 * network.timesteps * batch * sum(layer.macs_per_timestep() for layer in network.layers)
    return {
        "batch": batch,
        "threads": thread_count(),
        "step_s": median(times[1:]),
        "step_processor_s": median(processor_times[1:]),
        "fastest_step_s": min(times[1:]),
        "dense_macs": macs,
        "dense_macs_per_s": macs / median(times[1:]),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def missed(network: str, figures: dict[str, Any]) -> list[str]:
    """Name the targets that these figures miss; other networks and batches have none."""
    target_s = TARGETS_S.get(figures["batch"])
    if network != NETWORK or target_s is None:
        return []
    found = []
    if figures["step_s"] > target_s:
        found.append(f"step of {figures['batch']}: {figures['step_s']:.2f} s, target {target_s:g} s")
    if figures["peak_memory_bytes"] > TARGET_BYTES:
        found.append(f"memory at {figures['batch']}: {figures['peak_memory_bytes']:,} bytes, target {TARGET_BYTES:,}")
    return found


def main() -> int:
    """Run the benchmark, print it, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default=NETWORK, help=f"name or network file (default {NETWORK})")
    parser.add_argument("--batch", type=int, nargs="+", default=list(TARGETS_S), help="images a step (default 1 8)")
    parser.add_argument("--repeats", type=int, default=5, help="measured steps per batch size (default 5)")
    parser.add_argument("--threads", type=int, default=0, help="threads (default: one per processor)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.threads < 0:
        parser.error("--repeats must be at least 1, --threads at least 0")
    try:
        for batch in arguments.batch:
            first_step(arguments.network, batch).check()
    except InputError as error:
        print(f"bench_step: error: {error}", file=sys.stderr)
        return 2
    runs = []
    print("images      step  processors  G dense MAC/s  peak memory")
    for batch in arguments.batch:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            run = pool.apply(measure, (arguments.network, batch, arguments.repeats, arguments.threads))
        print(
            f"{batch:6} {run['step_s']:7.2f} s {run['step_processor_s']:9.2f} s {run['dense_macs_per_s'] / 1e9:14.1f}"
            f" {run['peak_memory_bytes'] / 2**30:9.2f} GiB"
        )
        runs.append(run)
    misses = [miss for run in runs for miss in missed(arguments.network, run)]
    for miss in misses:
        print(f"MISSED: {miss}")
    if arguments.json:
        result = {"network": arguments.network, "repeats": arguments.repeats, "good": not misses, "runs": runs}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
