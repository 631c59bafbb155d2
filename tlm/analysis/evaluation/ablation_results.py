"""The ablations of each network, simulated and set against the full machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.evaluation.ablations import FULL, Ablation, list_ablations
from tlm.analysis.evaluation.measure import measure
from tlm.analysis.evaluation.options import Plan
from tlm.analysis.evaluation.ratios import image_j, image_s
from tlm.analysis.evaluation.rerun import step_in
from tlm.analysis.evaluation.stages import StageTrace, stages_folder
from tlm.analysis.simulations import ERROR, Measurement, Task
from tlm.config import Config
from tlm.schedule.geometry import micro_batches
from tlm.schedule.step_counts import StepCounts
from workloads.trace_file import Trace, open_trace


@dataclass(frozen=True)
class Variant:
    """One ablation of a network at a stage, and the step that is simulated for it."""

    ablation: Ablation
    config: Config
    task: Task


def plan_variants(plan: Plan, network: str, stages: Sequence[StageTrace]) -> list[Variant]:
    """Return the variants of one network, the full machine first; none where no ablation was asked for.

    A step in another arithmetic is computed here where it is not kept already. Raises InputError as `step_in` does.
    """
    if not plan.ablations:
        return []
    stage = next(stage for stage in stages if stage.percent == plan.ablation_stage)
    variants = []
    for ablation in (Ablation("", FULL, ()), *list_ablations(plan.config, plan.ablations)):
        config = ablation.config_of(plan.config)
        folder = stages_folder(plan.options.traces, config.contract)
        path = step_in(stage.path, config.contract, folder)
        digest = stage.digest
        if path != stage.path:
            with open_trace(path) as trace:
                digest = trace.digest
        name = f"{network}, {ablation.name}, {plan.ablation_images} images"
        task = Task(name, path, digest, plan.ablation_images, config.model_dump(mode="json"), measure)
        variants.append(Variant(ablation, config, task))
    return variants


def describe_variants(
    plan: Plan, variants: Sequence[Variant], found: Mapping[str, Measurement]
) -> list[dict[str, Any]]:
    """Return a row a variant; one that could not be simulated has an `error` and no figures."""
    rows: list[dict[str, Any]] = []
    for variant in variants:
        ablation = variant.ablation
        step = found[variant.task.key]
        row: dict[str, Any] = {
            "group": ablation.group,
            "name": ablation.name,
            "stage": plan.ablation_stage,
            "changes": dict(ablation.changes),
            "error": step.get(ERROR),
        }
        row |= dict.fromkeys(("image_s", "image_energy_j", "area_mm2", "times_time", "times_energy", "times_area"))
        if ERROR not in step:
            row |= _figures(variant.config, step, plan.ablation_images)
        rows.append(row)
    # the full machine's step is one of those that the stages were told from, so it could be simulated
    return [_against(row, rows[0]) for row in rows]


def _figures(config: Config, step: Measurement, images: int) -> dict[str, Any]:
    return {
        "image_s": image_s(step, images),
        "image_energy_j": image_j(step, images).to_dict(),
        "area_mm2": chip_area(config).area_mm2.to_dict(),
    }


def _against(row: dict[str, Any], full: dict[str, Any]) -> dict[str, Any]:
    """Set the ratios to the full machine: of time, and of nominal energy and area."""
    if row["error"] is not None:
        return row
    return row | {
        "times_time": row["image_s"] / full["image_s"],
        "times_energy": row["image_energy_j"]["nominal"] / full["image_energy_j"]["nominal"],
        "times_area": row["area_mm2"]["nominal"] / full["area_mm2"]["nominal"],
    }


def lane_spikes(plan: Plan, stages: Sequence[StageTrace]) -> dict[str, Any] | None:
    """Return what adders find in the lanes of both LUT engines, in the first micro-batch of the ablations' stage.

    `spikes_per_group` is what a zero-skipping adder adds for each group of k, over all look-ups of a step;
    `waited_per_position` what the tree waits for, the lane with the most ones.
    """
    if not plan.ablations:
        return None
    stage = next(stage for stage in stages if stage.percent == plan.ablation_stage)
    with open_trace(stage.path) as trace:
        return {
            "k": plan.config.lut.k,
            "lanes": plan.config.lut.lanes,
            "forward": _lane_spikes(trace, plan.config, update=False),
            "weight_update": _lane_spikes(trace, plan.config, update=True),
        }


def _lane_spikes(trace: Trace, config: Config, update: bool) -> dict[str, float]:
    counts = StepCounts(trace)
    batch = micro_batches(trace.batch, config.arithmetic.micro_batch)[0]
    ones = groups = waited = positions = 0
    network = trace.network
    for layer in range(len(network.layers)) if update else network.main:
        found = counts.ones(layer, batch, config.contract, update)
        rows = network.layers[layer].out_channels
        ones += found.total * rows
        groups += found.groups * rows
        waited += int(found.most.clip(1).sum()) * rows
        positions += found.most.size * rows
    return {"spikes_per_group": ones / groups, "waited_per_position": waited / positions}
