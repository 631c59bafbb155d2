"""One simulated training step as plain numbers, each of which grows with the images of the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.energy.activity import step_activity
from tlm.analysis.energy.step_energy import GROUPS, StepEnergy, step_energy
from tlm.analysis.evaluation.first_images import first_images
from tlm.analysis.simulations import Measurement
from tlm.config import Config
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import SimulationResult, simulate
from workloads.trace_file import Trace


def measure(trace: Trace, config: Config, images: int, counts: StepCounts | None = None) -> Measurement:
    """Simulate the step of the first `images` images of `trace`.

    Time, energy, busy times, bytes and operations: numbers, and tables of them by name. Raises what `simulate` and
    `chip_area` raise.
    """
    counts = counts or StepCounts(trace)
    step = first_images(trace, images)
    area = chip_area(config)
    result = simulate(step, config, counts=counts)
    energy = step_energy(config, result, step_activity(step, config, result, counts), area)
    return measurement_of(result, energy)


def measurement_of(result: SimulationResult, energy: StepEnergy) -> Measurement:
    """Return the numbers of a simulated step and its energy."""
    return {
        "time_ps": result.time_ps,
        "energy_pj": energy.energy_pj.to_dict(),
        "groups_pj": {group: energy.group_pj(group).nominal for group in GROUPS},
        "busy_ps": {name: time.busy_ps for name, time in result.engines.items()},
        "dram_bytes": sum(result.dram_read_bytes.values()) + sum(result.dram_written_bytes.values()),
        "synaptic_operations": energy.activity.synaptic_operations,
    }


def extend(fewer: Measurement, more: Measurement, images: tuple[int, int], batch: int) -> Measurement:
    """Tell a step of `batch` images from steps of `images` = (few, more): each image beyond costs what the last did.

    Raises InputError unless the second step has more images than the first.
    """
    few, many = images
    if not few < many:
        raise InputError("two steps of different sizes are needed", "images", images, "ascending")
    factor = (batch - many) / (many - few)
    return _extended(fewer, more, factor)


def extend_to(steps: Sequence[Measurement], sizes: Sequence[int], batch: int) -> Measurement:
    """Return the step of `batch` images from steps of `sizes`: the one of that size, or told from two."""
    if len(steps) == 1:
        return steps[0]
    return extend(steps[0], steps[1], (sizes[0], sizes[1]), batch)


def _extended(fewer: Mapping[str, Any], more: Mapping[str, Any], factor: float) -> Measurement:
    found: Measurement = {}
    for key, value in more.items():
        if isinstance(value, Mapping):
            found[key] = _extended(fewer[key], value, factor)
        else:
            found[key] = value + factor * (value - fewer[key])
    return found


def sizes_to_simulate(batch: int, images: int, micro_batch: int) -> tuple[int, ...]:
    """Return the sizes of the steps to simulate for a step of `batch` images when `images` were captured.

    One where all of them were; else the captured images, and one micro-batch less. Raises InputError where that
    leaves nothing, and where images beyond the captured ones would not be whole micro-batches.
    """
    if images >= batch:
        return (batch,)
    if images % micro_batch or images < 2 * micro_batch:
        allowed = f"{batch} (the whole step), or 2 or more whole micro-batches of {micro_batch}"
        raise InputError("a step cannot be told from so many images", "--images", images, allowed)
    if batch % micro_batch:
        raise InputError(
            "must be whole micro-batches", "--batch", batch, f"a multiple of {micro_batch}, or --images as many"
        )
    return (images - micro_batch, images)
