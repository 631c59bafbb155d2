"""One point of a study: simulate the step, and keep the numbers that tables and plots need, as plain data."""

from __future__ import annotations

from typing import Any

from tlm.analysis.bandwidth.layer_work import traffic_by_layer, work_by_layer
from tlm.analysis.bandwidth.occupancy import occupancy
from tlm.analysis.evaluation.first_images import first_images
from tlm.analysis.simulations import Measurement
from tlm.config import Config
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import SimulationResult, simulate
from workloads.trace_file import Trace


def measure(trace: Trace, config: Config, images: int, counts: StepCounts) -> Measurement:
    """Simulate the step of the first `images` images of `trace`; raises what `tlm.simulation.simulate` raises.

    The keys are those that `tlm.analysis.bandwidth.study_file.SCHEMA` names and docs/bandwidth_study.md describes.
    """
    result = simulate(first_images(trace, images), config, counts=counts)
    traffic = traffic_by_layer(result, trace.network)
    placement = result.placement
    bin_ps, parts = occupancy(result, config)
    return {
        "step_ps": result.time_ps,
        "step_cycles": result.cycles,
        "dram_peak_bytes_per_us": round(result.dram_peak_bytes_per_us),
        "dram_read_bytes": sum(result.dram_read_bytes.values()),
        "dram_written_bytes": sum(result.dram_written_bytes.values()),
        "engines": engine_times(result),
        "traffic": traffic,
        "work": work_by_layer(result, trace.network, images, traffic, config),
        "buffers": [
            {"buffer": name, "capacity_bytes": capacity, "used_bytes": placement.used_bytes[name]}
            for name, capacity in placement.capacity_bytes.items()
        ],
        "occupancy_bin_ps": bin_ps,
        "occupancy": parts,
    }


def engine_times(result: SimulationResult) -> list[dict[str, Any]]:
    """Return where each engine's time went: one entry per state and reason; they add up to the step."""
    entries = []
    for engine, time in result.engines.items():
        entries.append({"engine": engine, "state": "busy", "reason": "", "time_ps": time.busy_ps})
        for state, waits in (("blocked", time.blocked_ps), ("starved", time.starved_ps)):
            entries += [{"engine": engine, "state": state, "reason": r, "time_ps": ps} for r, ps in waits.items()]
    return entries
