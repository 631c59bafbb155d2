"""The whole evaluation: stages captured, each simulated, each compared with the GPU, averaged, with all ablations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.area.chip_area import ChipArea, chip_area
from tlm.analysis.evaluation.ablation_results import describe_variants, lane_spikes, plan_variants
from tlm.analysis.evaluation.gpu_step import GpuStep, gpu_step
from tlm.analysis.evaluation.measure import extend_to, measure
from tlm.analysis.evaluation.options import EvaluationOptions, Plan, check_options
from tlm.analysis.evaluation.published import PUBLISHED, SOURCE
from tlm.analysis.evaluation.ratios import (
    PJ_PER_J,
    PS_PER_S,
    beside_published,
    energy_ratio,
    image_j,
    image_s,
    mean,
    speedup,
)
from tlm.analysis.evaluation.stages import StageTrace, captured_stages
from tlm.analysis.simulations import ERROR, Measurement, Processes, Task, open_journal, simulate_all
from tlm.analysis.technology.range import Range
from tlm.report.result import versions
from tlm.schedule.placement import place
from workloads.network import Network

SCHEMA = "h2learn-evaluation/1"
JOURNAL = "evaluate.journal"

Report = Callable[[str, int, int], None]
"""Called with (phase, done, in all) as the evaluation goes on."""


@dataclass(frozen=True)
class StageResult:
    """One stage of a network: its trace, and the step of the plan's batch."""

    stage: StageTrace
    step: Measurement


def run_evaluation(
    options: EvaluationOptions, out: Path, command: str = "", report: Report = lambda phase, done, total: None
) -> dict[str, Any]:
    """Evaluate and return the content of `evaluate.json`.

    Traces are kept (`--traces`), and every simulation in a journal in `out`, so the same command goes on where an
    interrupted one was. Raises InputError for a user's mistake, before anything is trained for where that can be
    known, and for a network that cannot be simulated on this configuration.
    """
    plan = check_options(options)
    area = chip_area(plan.config)
    for network in plan.networks:
        place(network, plan.images, plan.config)
    with open_journal(out / JOURNAL, "an evaluation") as journal, Processes(options.workers) as processes:
        stages = {
            network.name: captured_stages(plan, network, partial(report, f"training {network.name}"))
            for network in plan.networks
        }
        tasks = {
            (name, stage.percent, images): _task(plan, name, stage, images)
            for name, captured in stages.items()
            for stage in captured
            for images in plan.sizes
        }
        variants = {name: plan_variants(plan, name, captured) for name, captured in stages.items()}
        ablated = [variant.task for made in variants.values() for variant in made]
        found = simulate_all([*tasks.values(), *ablated], journal, processes, partial(report, "simulation"))
    results = {key: found[task.key] for key, task in tasks.items()}
    networks = []
    for network in plan.networks:
        captured = stages[network.name]
        described = _network(plan, network, _extended(plan, network.name, captured, results), area)
        described["lane_spikes"] = lane_spikes(plan, captured)
        described["ablations"] = describe_variants(plan, variants[network.name], found)
        networks.append(described)
    return {
        "schema": SCHEMA,
        "provenance": {**versions(), "command": command},
        "provisional": plan.config.provisional,
        "published_source": SOURCE,
        "method": _method(plan),
        "area": _area(plan, area),
        "over_networks": _over_networks(networks),
        "networks": networks,
        "config": plan.config.model_dump(mode="json"),
    }


def _task(plan: Plan, name: str, stage: StageTrace, images: int) -> Task:
    label = f"{name}, {stage.percent} %, {images} images"
    return Task(label, stage.path, stage.digest, images, plan.config.model_dump(mode="json"), measure)


def _extended(
    plan: Plan, name: str, stages: Sequence[StageTrace], results: Mapping[tuple[str, int, int], Measurement]
) -> list[StageResult]:
    """The step of the plan's batch at every stage; InputError where one could not be simulated."""
    found = []
    for stage in stages:
        steps = [results[name, stage.percent, images] for images in plan.sizes]
        for step in steps:
            if ERROR in step:
                raise InputError(f"cannot be simulated: {step[ERROR]}", f"{name}, {stage.percent} % of the training")
        found.append(StageResult(stage, extend_to(steps, plan.sizes, plan.options.batch)))
    return found


def _method(plan: Plan) -> dict[str, Any]:
    options = plan.options
    return {
        "batch_images": options.batch,
        "simulated_images": list(plan.sizes),
        "extended": len(plan.sizes) > 1,
        "ablation_images": plan.ablation_images,
        "micro_batch": plan.config.arithmetic.micro_batch,
        "stages": list(plan.percents),
        "gpu": {
            "device": plan.device.key,
            "name": plan.device.name,
            "precision": options.gpu_precision,
            "neuron": options.gpu_neuron,
            "batch_images": options.gpu_batch,
            "power_limit_w": plan.device.power_w,
        },
    }


def _area(plan: Plan, area: ChipArea) -> dict[str, Any]:
    return {
        "node": "28 nm",
        "area_mm2": area.area_mm2.to_dict(),
        "transistors": area.transistors.to_dict(),
        "gpu_area_mm2": plan.device.area_mm2,
        "gpu_transistors": plan.device.transistors,
    }


def _network(plan: Plan, network: Network, results: Sequence[StageResult], area: ChipArea) -> dict[str, Any]:
    batch = plan.options.batch
    gpu = gpu_step(plan, network)
    ours_s = sum(image_s(result.step, batch) for result in results) / len(results)
    ours_j = mean([image_j(result.step, batch) for result in results])
    area_ratio = Range.exact(plan.device.area_mm2) / area.area_mm2
    return {
        "name": network.name,
        "timesteps": network.timesteps,
        "layers": len(network.layers),
        "weights": sum(layer.weights_count for layer in network.layers),
        "macs_per_image": 3 * network.timesteps * sum(layer.macs_per_timestep() for layer in network.layers),
        "training": _training(results[0].stage, plan),
        "gpu": gpu.to_dict(),
        "image_s": ours_s,
        "image_energy_j": ours_j.to_dict(),
        "power_w": (ours_j / ours_s).to_dict(),
        "speedup": beside_published("speedup", speedup(gpu, ours_s)),
        "energy_ratio": beside_published("energy_ratio", energy_ratio(gpu, ours_j)),
        "area_ratio": beside_published("area_ratio", area_ratio),
        "transistor_ratio": (Range.exact(plan.device.transistors) / area.transistors).to_dict(),
        "stages": [_stage(result, gpu, batch) for result in results],
    }


def _over_networks(networks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The least and the greatest nominal ratio of all networks, which is how the authors state theirs."""
    found: dict[str, Any] = {}
    for name in PUBLISHED:
        values = [network[name]["nominal"] for network in networks]
        found[name] = {"low": min(values), "high": max(values)}
    return found


def _training(stage: StageTrace, plan: Plan) -> dict[str, Any]:
    run = stage.training
    return {
        "dataset": stage.dataset,
        "data": run.data if run else "",
        "steps": plan.options.steps,
        "batch_images": plan.options.training_batch,
        "learning_rate": run.learning_rate if run else None,
        "epochs": run.epochs if run else None,
        "brief": run.brief if run else True,
        "seed": plan.options.seed,
    }


def _stage(result: StageResult, gpu: GpuStep, batch: int) -> dict[str, Any]:
    stage, step = result.stage, result.step
    seconds, joules = image_s(step, batch), image_j(step, batch)
    return {
        "percent": stage.percent,
        "step": stage.step,
        "trace_sha256": stage.digest,
        "loss": stage.loss if math.isfinite(stage.loss) else None,
        "firing_rate": stage.firing_rate,
        "active_masks": stage.active_masks,
        "nonzero_gradients": stage.nonzero_gradients,
        "zero_index_groups": stage.zero_index_groups,
        "step_s": step["time_ps"] / PS_PER_S,
        "image_s": seconds,
        "step_energy_j": (Range(**step["energy_pj"]) / PJ_PER_J).to_dict(),
        "image_energy_j": joules.to_dict(),
        "groups_j": {name: value / PJ_PER_J for name, value in step["groups_pj"].items()},
        "busy": {name: busy_ps / step["time_ps"] for name, busy_ps in step["busy_ps"].items()},
        "dram_bytes": round(step["dram_bytes"]),
        "synaptic_operations": round(step["synaptic_operations"]),
        "speedup": speedup(gpu, seconds).to_dict(),
        "energy_ratio": energy_ratio(gpu, joules).to_dict(),
    }
