"""Measure how fast the LUT row runs: Verilated batch, MyHDL, PyVerilator poke/peek, on the same tiles in one run.

Speeds are cycles of the row per second of processor time; the drivers and the packing of arrays are included.

Usage: python scripts/bench_lut_row.py [--json FILE] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rtl_models.formats import encode
from rtl_models.lut_row import LutRowGeometry, lut_row_unit
from rtl_models.reference.row import RowTask, lut_row, row_outputs, row_stimulus
from rtl_models.simulators import InteractiveUnit, MyhdlSimulator, VerilatorSimulator, open_interactive
from rtl_models.units import Stimulus

TILES = 4
POSITIONS = 64
BATCH = 400  # copies of the task in one call of the Verilated batch
MYHDL_BATCH = 2  # and in one call of MyHDL, beside a call of one: the difference leaves the start of its process out


def make_task(geometry: LutRowGeometry) -> RowTask:
    """Return `TILES` tiles of normal weights and indices at a firing rate of 0.3."""
    rng = np.random.default_rng(0)
    g, beats = geometry, TILES * POSITIONS
    spikes = rng.random((beats, g.lanes, g.k)) < 0.3
    tile = np.arange(TILES)
    return RowTask(
        weights=encode(rng.normal(size=(TILES, g.lanes, g.k)).astype(np.float32), g.value_format),
        indices=(spikes << np.arange(g.k)).sum(axis=2).astype(np.uint8),
        positions=np.full(TILES, POSITIONS),
        start=tile == 0,
        emit=tile == TILES - 1,
    )


def processor_seconds() -> float:
    """Return the processor time used by this process and its children so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of an action, its child processes included."""
    times = []
    for _ in range(repeats):
        begin = processor_seconds()
        action()
        times.append(processor_seconds() - begin)
    return statistics.median(times)


def poke_and_peek(row: InteractiveUnit, stimulus: Stimulus) -> list[int]:
    """Drive one stall-free stimulus port by port through PyVerilator's own object and return the sums."""
    simulation = row.simulation
    outputs: list[int] = []
    payloads = {
        stream: [
            {f"{stream}_{name}": int.from_bytes(words[n].tobytes(), "little") for name, words in fields.items()}
            for n in range(len(next(iter(fields.values()))))
        ]
        for stream, fields in stimulus.beats.items()
    }
    done = dict.fromkeys(payloads, 0)
    row.reset()
    simulation["out_ready"] = 1
    while len(outputs) < stimulus.outputs["out"]:
        simulation["clk"] = 0
        for stream, beats in payloads.items():
            pending = done[stream] < len(beats)
            simulation[f"{stream}_valid"] = int(pending)
            if pending:
                for port, value in beats[done[stream]].items():
                    simulation[port] = value
        simulation.eval()
        if simulation["out_valid"]:
            outputs.append(int(simulation["out_data"]))
        for stream, beats in payloads.items():
            if done[stream] < len(beats) and simulation[f"{stream}_ready"]:
                done[stream] += 1
        simulation["clk"] = 1
        simulation.eval()
    return outputs


def compare(geometry: LutRowGeometry, repeats: int) -> dict[str, float]:
    """Return the cycles per second of the three ways on the same task; raises SystemExit where bits differ."""
    unit, task = lut_row_unit(geometry), make_task(geometry)
    stimulus = row_stimulus(geometry, task)
    batch, verilator, myhdl = [stimulus] * BATCH, VerilatorSimulator(), MyhdlSimulator()
    (response,) = verilator.run(unit, [stimulus])  # builds the model
    expected = lut_row(task, geometry.value_format, geometry.sum_format).tolist()
    row = open_interactive(unit)
    answers = [
        row_outputs(geometry, response).tolist(),
        row_outputs(geometry, myhdl.run(unit, [stimulus])[0]).tolist(),
        poke_and_peek(row, stimulus),
    ]
    if any(answer != expected for answer in answers):
        raise SystemExit("the simulators disagree with the reference")
    cycles = response.cycles_total
    one = seconds(lambda: myhdl.run(unit, [stimulus]), repeats)
    several = seconds(lambda: myhdl.run(unit, [stimulus] * MYHDL_BATCH), repeats)
    return {
        "verilated_cycles_per_s": cycles * BATCH / seconds(lambda: verilator.run(unit, batch), repeats),
        "myhdl_cycles_per_s": cycles * (MYHDL_BATCH - 1) / (several - one),
        "pyverilator_cycles_per_s": cycles / seconds(lambda: poke_and_peek(row, stimulus), repeats),
    }


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repeats", type=int, default=3, help="take the median of this many runs")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for registers in (False, True):
        geometry = LutRowGeometry(k=4, lanes=16, depth=POSITIONS, tree_registers=registers)
        figures = compare(geometry, options.repeats)
        fast = figures["verilated_cycles_per_s"]
        figures["verilated_over_myhdl"] = fast / figures["myhdl_cycles_per_s"]
        figures["verilated_over_pyverilator"] = fast / figures["pyverilator_cycles_per_s"]
        results["tree_registers" if registers else "combinational_tree"] = figures
    results["tile"] = {"k": 4, "lanes": 16, "tiles": TILES, "positions": POSITIONS, "repeats": options.repeats}
    for name in ("combinational_tree", "tree_registers"):
        for figure, value in results[name].items():
            print(f"{name:20} {figure:28} {value:14,.0f}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
