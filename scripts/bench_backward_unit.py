"""Measure how fast the sparse backward unit runs Verilated, and how fast its cycle law and its reference are.

Speeds are per second of processor time; the drivers and the packing of arrays are included.

Usage: python scripts/bench_backward_unit.py [--json FILE] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rtl_models.backward_unit import BackwardUnitGeometry, backward_unit
from rtl_models.formats import encode
from rtl_models.reference.backward_items import (
    BackwardTask,
    backward_item_sums,
    backward_outputs,
    backward_stimulus,
)
from rtl_models.simulators import VerilatorSimulator
from tlm.config import BackwardEngineConfig
from tlm.engines.backward_law import BackwardUnits, BackwardUnitTiming

GROUPS = 300
GRADIENTS = 150  # of an item: 3 x 3 taps of 64 channels, a quarter of them not zero
DENSITY = 0.3  # of the masks
LAW_ITEMS = 200_000


def make_task(geometry: BackwardUnitGeometry) -> BackwardTask:
    """Return full groups of items with random masks, and normal gradients and weights."""
    rng = np.random.default_rng(0)
    g = geometry
    items = GROUPS * g.items_in_flight
    masks = (rng.random((items, g.channel_tile)) < DENSITY).astype(np.uint8)
    masks[:, 0] = 1
    counts = rng.integers(GRADIENTS // 2, GRADIENTS * 3 // 2, items)
    rows = 9 * g.channel_tile
    return BackwardTask(
        masks=masks,
        group_items=np.full(GROUPS, g.items_in_flight),
        counts=counts,
        values=encode(rng.normal(size=int(counts.sum())).astype(np.float32), g.value_format),
        rows=rng.integers(0, rows, int(counts.sum())),
        weights=encode(rng.normal(size=(rows, g.channel_tile)).astype(np.float32), g.value_format),
    )


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of an action; one run before it builds and compiles."""
    action()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        action()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def main() -> None:
    """Check the figures' results once, measure, and print or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    geometry = BackwardUnitGeometry()
    unit, simulator = backward_unit(geometry), VerilatorSimulator()
    law = BackwardUnitTiming(geometry.lanes, geometry.adder_latency_cycles)
    task = make_task(geometry)
    stimulus = backward_stimulus(geometry, task)

    (response,) = simulator.run(unit, [stimulus])
    sums = backward_item_sums(task, geometry.value_format, geometry.sum_format)
    said = law.stall_free_cycles(task.group_items, task.counts, task.active)
    if response.cycles_total != said or not np.array_equal(backward_outputs(geometry, response), sums):
        raise RuntimeError("the hardware differs from its reference or its law")

    macs = int((task.counts * task.active).sum())
    unit_s = seconds(lambda: simulator.run(unit, [stimulus]), arguments.repeats)
    pack_s = seconds(lambda: backward_stimulus(geometry, task), arguments.repeats)
    reference_s = seconds(
        lambda: backward_item_sums(task, geometry.value_format, geometry.sum_format), arguments.repeats
    )
    rng = np.random.default_rng(1)
    gradients = rng.integers(GRADIENTS // 2, GRADIENTS * 3 // 2, LAW_ITEMS)
    active = rng.integers(1, geometry.channel_tile + 1, LAW_ITEMS)
    config = BackwardEngineConfig()
    law_s = seconds(lambda: BackwardUnits(config).run(gradients, active, 0), arguments.repeats)
    figures = {
        "cycles": response.cycles_total,
        "lane_utilisation": macs / (response.cycles_total * geometry.lanes),
        "verilated_cycles_per_s": response.cycles_total / unit_s,
        "packed_elements_per_s": len(task.values) / pack_s,
        "reference_macs_per_s": macs / reference_s,
        "law_element_visits_per_s": int(gradients.sum()) / law_s,
        "repeats": arguments.repeats,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for name, figure in figures.items():
        print(f"{name:>26}: {figure:,.3g}" if isinstance(figure, float) else f"{name:>26}: {figure:,}")


if __name__ == "__main__":
    main()
