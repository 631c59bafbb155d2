"""One point simulated: time, energy, area, busy and waiting times and bytes, as plain data."""

from __future__ import annotations

from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.bandwidth.measure import engine_times
from tlm.analysis.energy.activity import step_activity
from tlm.analysis.energy.step_energy import step_energy
from tlm.analysis.evaluation.first_images import first_images
from tlm.analysis.evaluation.ratios import PJ_PER_J, PS_PER_S
from tlm.analysis.simulations import Measurement
from tlm.config import Config
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import simulate
from workloads.trace_file import Trace


def measure(trace: Trace, config: Config, images: int, counts: StepCounts) -> Measurement:
    """Return the columns of a point that `tlm.sweep.store` names; raises what `simulate` and `chip_area` raise."""
    step = first_images(trace, images)
    area = chip_area(config)
    result = simulate(step, config, counts=counts)
    energy = step_energy(config, result, step_activity(step, config, result, counts), area).energy_pj / PJ_PER_J
    return {
        "time_s": result.time_ps / PS_PER_S,
        "time_ps": result.time_ps,
        "cycles": result.cycles,
        "energy_j": energy.nominal,
        "energy_j_low": energy.low,
        "energy_j_high": energy.high,
        "area_mm2": area.area_mm2.nominal,
        "area_mm2_low": area.area_mm2.low,
        "area_mm2_high": area.area_mm2.high,
        "dram_read_bytes": sum(result.dram_read_bytes.values()),
        "dram_written_bytes": sum(result.dram_written_bytes.values()),
        "busy": [{"engine": name, "share": engine.busy_ps / result.time_ps} for name, engine in result.engines.items()],
        "engines": engine_times(result),
    }
