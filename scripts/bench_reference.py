#!/usr/bin/env python3
"""Speed of the reference model: look-ups a second of the forward LUT kernel, training steps a second of digits-conv.

The kernel serves one sample of a 32x32x128 -> 128 layer with 3x3 kernels for 6 timesteps at random indices; a look-up
is one table entry added to one sum. Training is the machine's step at batch 32, beside the float32 baseline. Medians;
figures per second of processor time, which other programs disturb less, stand beside those per second.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from rtl_models.formats import BINARY16, BINARY32, round_to
from rtl_models.reference.lut import LutTables
from rtl_models.reference.threads import set_threads, thread_count
from workloads.float_step import float_step, sgd_update
from workloads.network import load_network
from workloads.record import Arithmetic, OptimiserConstants
from workloads.training_step import initial_state, train_step

POSITIONS = 6 * 32 * 32
ROWS = 128
GROUPS = 9 * 128 // 4
BATCH = 32
RATES = OptimiserConstants(np.float32(0.1), np.float32(0.9), np.float32(0.0), 12, False)


def measure(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median time and processor time of one call in s, after one that is not measured."""
    work()
    times, cpu_times = [], []
    for _ in range(repeats):
        start, cpu_start = perf_counter(), process_time()
        work()
        times.append(perf_counter() - start)
        cpu_times.append(process_time() - cpu_start)
    return median(times), median(cpu_times)


def lookups_per_second(repeats: int) -> list[float]:
    """Return look-ups per second and per processor second of the forward kernel, tables built beforehand."""
    rng = np.random.default_rng(0)
    operands = round_to(rng.normal(size=(GROUPS, 4, ROWS)), BINARY16)
    indices = rng.integers(0, 16, (POSITIONS, GROUPS)).astype(np.uint8)
    tables = LutTables(operands, 16, BINARY16, BINARY32)
    psum = np.zeros((POSITIONS, ROWS), np.float32)
    return [POSITIONS * ROWS * GROUPS / time_s for time_s in measure(lambda: tables.accumulate(indices, psum), repeats)]


def steps_per_second(repeats: int) -> list[list[float]]:
    """Return training steps per second and per processor second of digits-conv, in machine arithmetic and float32."""
    from workloads.digits import load_digits_split

    network, arithmetic, train = load_network("digits-conv"), Arithmetic(), load_digits_split().train
    images, labels = train.images[:BATCH], train.labels[:BATCH].astype(np.int64)
    state = initial_state(network, arithmetic, 1)
    momentum = tuple(np.zeros_like(weights) for weights in state.master)

    def float32_step() -> object:
        step = float_step(network, state.master, images, labels, np.float32)
        gradients = tuple(layer.weight_gradient for layer in step.layers)
        return sgd_update(state.master, momentum, gradients, (0.1, 0.9, 0.0))

    def machine_step() -> object:
        return train_step(network, arithmetic, state, images, labels, RATES)

    return [[1 / time_s for time_s in measure(step, repeats)] for step in (machine_step, float32_step)]


def main() -> int:
    """Run the benchmark and print it, or write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="measurements per figure (default 15)")
    parser.add_argument("--threads", type=int, default=0, help="threads (default: one per processor)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.threads < 0:
        parser.error("--repeats must be at least 1, --threads at least 0")
    set_threads(arguments.threads)
    machine, float32 = steps_per_second(arguments.repeats)
    lookups = lookups_per_second(arguments.repeats)
    figures: dict[str, Any] = {
        "threads": thread_count(),
        "repeats": arguments.repeats,
        "forward_lookups_per_s": lookups[0],
        "forward_lookups_per_cpu_s": lookups[1],
        "digits_conv_machine_steps_per_s": machine[0],
        "digits_conv_machine_steps_per_cpu_s": machine[1],
        "digits_conv_float32_steps_per_s": float32[0],
        "digits_conv_float32_steps_per_cpu_s": float32[1],
    }
    for name, value in figures.items():
        print(f"{name:34} {value:,.2f}" if isinstance(value, float) else f"{name:34} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
