#!/usr/bin/env python3
"""Items per second through bounded channels: tlm.kernel.TokenChannel against plain simpy.Store, side by side.

Both run the same pipeline: 5 stages of 1 ns, 4 channels of capacity 16. The kernel's runs book every picosecond of
every stage as busy, starved or blocked; simpy's do not. CPU time, median of alternating repeats, so that both see the
same machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import simpy

from tlm.kernel import Process, Simulation, State, Steps, TokenChannel

STAGES = 5
CAPACITY = 16
STAGE_PS = 1000


def run_kernel(items: int) -> tuple[float, int]:
    """Run the pipeline on tlm.kernel; return CPU time in s and end time in ps."""
    simulation = Simulation()
    channels = [TokenChannel[int](f"channel{i}", simulation, CAPACITY) for i in range(STAGES - 1)]

    def stage(index: int) -> Callable[[Process], Steps]:
        def body(process: Process) -> Steps:
            for number in range(items):
                item = number if index == 0 else (yield from channels[index - 1].get())
                yield from process.work(STAGE_PS)
                if index < STAGES - 1:
                    yield from channels[index].put(item)

        return body

    processes = [simulation.process(stage(index), f"stage{index}") for index in range(STAGES)]
    start = process_time()
    end_ps = simulation.run()
    cpu_s = process_time() - start
    if any(process.account.state_ps(State.BUSY) != items * STAGE_PS for process in processes):
        raise RuntimeError("the accounts do not add up")
    return cpu_s, end_ps


def run_store(items: int) -> tuple[float, int]:
    """Run the pipeline on simpy.Store; return CPU time in s and end time in ps."""
    env = simpy.Environment()
    stores = [simpy.Store(env, CAPACITY) for _ in range(STAGES - 1)]

    def stage(index: int) -> Iterator[Any]:
        for number in range(items):
            item = number if index == 0 else (yield stores[index - 1].get())
            yield env.timeout(STAGE_PS)
            if index < STAGES - 1:
                yield stores[index].put(item)

    for index in range(STAGES):
        env.process(stage(index))  # type: ignore[arg-type]  # SimPy asks for a Generator
    start = process_time()
    env.run()
    return process_time() - start, int(env.now)


def measure(items: int, repeats: int) -> dict[str, Any]:
    """Alternate both pipelines `repeats` times; return medians. RuntimeError if their end times differ."""
    cpu_times: dict[str, list[float]] = {"kernel": [], "store": []}
    expected_ps = (items + STAGES - 1) * STAGE_PS
    for _ in range(repeats):
        for name, run in (("kernel", run_kernel), ("store", run_store)):
            cpu_s, end_ps = run(items)
            if end_ps != expected_ps:
                raise RuntimeError(f"{name} ended at {end_ps} ps, expected {expected_ps} ps")
            cpu_times[name].append(cpu_s)
    ratios = [store / kernel for kernel, store in zip(cpu_times["kernel"], cpu_times["store"], strict=True)]
    return {
        "items": items,
        "repeats": repeats,
        "end_ps": expected_ps,
        "kernel_items_per_s": items / median(cpu_times["kernel"]),
        "simpy_store_items_per_s": items / median(cpu_times["store"]),
        "ratio": median(ratios),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the figures, and write them to a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000, help="items through the pipeline (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each, for the median (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args(arguments)
    if options.items < 1 or options.repeats < 1:
        parser.error(f"--items and --repeats must be at least 1, got {options.items} and {options.repeats}")
    figures = measure(options.items, options.repeats)
    sys.stdout.write(
        f"{STAGES} stages of {STAGE_PS} ps, capacity {CAPACITY}, {options.items} items, "
        f"median of {options.repeats} runs, both end at {figures['end_ps']} ps\n"
        f"tlm.kernel.TokenChannel  {figures['kernel_items_per_s']:>10,.0f} items/s (with accounts)\n"
        f"simpy.Store              {figures['simpy_store_items_per_s']:>10,.0f} items/s\n"
        f"ratio                    {figures['ratio']:>10.2f}\n"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
