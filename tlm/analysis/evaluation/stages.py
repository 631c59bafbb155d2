"""Stages of training as traces: captured once, kept by what made them, and described in a few shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl_models.simulators.build import cache_folder
from tlm.analysis.evaluation.options import Plan
from workloads.network import Network
from workloads.record import Arithmetic, TrainingRun
from workloads.stages import Stage, capture_stages, stage_figures
from workloads.trace_file import open_trace
from workloads.trace_statistics import LayerSparsity


@dataclass(frozen=True)
class StageTrace:
    """The trace of one stage, and what it says: shares over all neurons of the network."""

    percent: int
    step: int
    path: Path
    digest: str
    dataset: str
    training: TrainingRun | None
    loss: float
    firing_rate: float
    active_masks: float
    nonzero_gradients: float
    zero_index_groups: float


def captured_stages(
    plan: Plan, network: Network, report: Callable[[int, int], None] = lambda done, total: None
) -> tuple[StageTrace, ...]:
    """Return the stages of `network`, captured in the plan's folder where they are not there yet.

    `report` is called with (steps done, steps in all). Raises InputError as `capture_stages` does.
    """
    settings = plan.settings(network)
    folder = stages_folder(plan.options.traces, plan.config.contract)
    stages = capture_stages(settings, folder, plan.percents, lambda progress: report(progress.step, settings.steps))
    return tuple(describe_stage(stage, network) for stage in stages)


def stages_folder(chosen: Path | None, arithmetic: Arithmetic) -> Path:
    """Where stages of this arithmetic are kept: runs that differ in bits have folders of their own."""
    formats = f"{arithmetic.value.name}-{arithmetic.sum.name}"
    name = f"{formats}-k{arithmetic.k}-lanes{arithmetic.lanes}-micro{arithmetic.micro_batch}"
    return (chosen or cache_folder() / "stages") / name


def describe_stage(stage: Stage, network: Network) -> StageTrace:
    """Return a stage with what its trace says."""
    figures = stage_figures(stage)
    with open_trace(stage.path) as trace:
        digest, dataset = trace.digest, trace.dataset
    neurons = [0 if layer.joins else layer.out_positions * layer.out_channels for layer in network.layers]
    looked_up = [layer.conv_positions * layer.elements for layer in network.layers]
    return StageTrace(
        stage.percent,
        stage.step,
        stage.path,
        digest,
        dataset,
        figures.training,
        figures.loss,
        _mean([layer.firing_rate for layer in figures.layers], neurons),
        _mean([layer.active_masks for layer in figures.layers], neurons),
        _mean([layer.nonzero_gradients for layer in hidden(figures.layers)], neurons),
        _mean([layer.zero_index_groups for layer in figures.layers], looked_up),
    )


def hidden(layers: Sequence[LayerSparsity]) -> Sequence[LayerSparsity]:
    """Return the layers with neurons: all but the last."""
    return layers[:-1]


def _mean(shares: Sequence[float | None], weights: Sequence[int]) -> float:
    """The mean of the shares that are there, by weight."""
    known = [(share, weight) for share, weight in zip(shares, weights, strict=False) if share is not None]
    total = sum(weight for _, weight in known)
    return sum(share * weight for share, weight in known) / total if total else 0.0
