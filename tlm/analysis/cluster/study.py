"""The scaling study: a step on 1 to thousands of chips, from a few simulated ones and the all-reduces' closed forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.bandwidth.captures import captured_trace
from tlm.analysis.bandwidth.points import base_config, parse_whole
from tlm.analysis.cluster.collective import TOPOLOGIES, Links
from tlm.analysis.cluster.full import gradients_of
from tlm.analysis.cluster.options import DEFAULT_CHIPS, link_timing, parse_names
from tlm.analysis.cluster.overlap import ChipStep, Contention, cluster_step
from tlm.analysis.cluster.points import (
    SCALINGS,
    STRONG,
    Captured,
    Point,
    choose_batches,
    choose_scalings,
    make_points,
)
from tlm.analysis.cluster.worker import Simulated, Step, times_of
from tlm.analysis.simulations import Measurement
from tlm.config import Config
from workloads.atomic import replacing
from workloads.network import Network, list_networks, load_network
from workloads.trace_file import open_trace
from workloads.training_settings import TrainingSettings

SCALING = "scaling.json"
_NETWORK_SUFFIXES = (".yaml", ".yml")

Report = Callable[[str, int, int], None]
"""Called with (phase, done, in all) as the study goes on."""
Row = dict[str, Any]
Results = dict[Simulated, Measurement]


@dataclass(frozen=True)
class ScalingStudy:
    """What to study; lists are texts as on the command line, None where the default is meant."""

    target: str
    chips: str = DEFAULT_CHIPS
    topology: str = ",".join(TOPOLOGIES)
    link_gb_per_s: float = 25.0
    link_latency_us: float = 1.0
    scaling: str | None = None
    batch: int | None = None
    batch_per_chip: int | None = None
    full: str | None = None
    config: str | None = None
    overrides: tuple[str, ...] = ()
    images: int | None = None
    steps: int = 1
    seed: int = 0
    workers: int | None = None


@dataclass(frozen=True)
class _Plan:
    """A study whose options are checked."""

    step: Step
    network: Network
    config: Config
    captured: Captured
    links: dict[str, Links]
    points: list[Point]
    full: list[Point]
    notes: list[str]

    def alone(self, first: int, count: int, hold: bool = True) -> Simulated:
        """Return a chip by itself that works on `count` micro-batches from number `first` on."""
        return Simulated((self.captured.share(first, count),), hold)


def run_scaling(study: ScalingStudy, out: Path, report: Report = lambda phase, done, total: None) -> dict[str, Any]:
    """Run `study`, write `scaling.json` into the folder `out` and return its content (docs/scaling.md).

    Simulations are kept in a journal in `out`: the same trace and configuration with other links, chips or batches
    repeats none of them. Raises InputError for a user's mistake, and what `tlm.simulation.simulate` raises.
    """
    plan = _plan(study, report)
    free = plan.alone(0, 1, hold=False)
    chips = [chip for point in plan.points for chip in _chips_alone(plan, point)]
    everything = [plan.alone(0, 1), free, *chips, *(_in_full(plan, point) for point in plan.full)]
    results = plan.step.simulate(everything, out, study.workers, partial(report, "simulation"))
    contention = Contention.of(ChipStep.of(times_of(results[plan.alone(0, 1)])), times_of(results[free]))
    asked = {key: value for key, value in asdict(study).items() if key != "workers"}
    content = {
        "network": plan.network.name,
        "trace_sha256": plan.step.digest,
        "asked": asked | {"config": plan.config.model_dump(mode="json")},
        "captured_images": plan.captured.size * plan.captured.count,
        "micro_batch_images": plan.captured.size,
        "gradient_bytes": sum(gradient.size_bytes for gradient in gradients_of(plan.network, plan.config)),
        "contention": asdict(contention),
        "notes": plan.notes,
        "rows": _rows(plan, results, contention),
    }
    with replacing(out / SCALING) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return content


def _plan(study: ScalingStudy, report: Report) -> _Plan:
    chips = parse_whole(study.chips, "--chips")
    full = () if study.full is None else parse_whole(study.full, "--full")
    topologies = parse_names(study.topology, "--topology", TOPOLOGIES)
    asked = None if study.scaling is None else parse_names(study.scaling, "--scaling", SCALINGS)
    timing = link_timing(study.link_gb_per_s, study.link_latency_us)
    path = _trace(study, report)
    with open_trace(path) as trace:
        network, digest = trace.network, trace.digest
        config = base_config(study.config, study.overrides, trace.arithmetic)
        captured = Captured.of(trace.batch, trace.arithmetic.micro_batch)
    notes: list[str] = []
    scalings = choose_scalings(captured, asked, notes)
    batches = choose_batches(captured, chips, study.batch, study.batch_per_chip)
    points = make_points(captured, scalings, topologies, chips, batches, notes)
    links = {topology: Links(topology, timing, config.dma.chunk_bytes) for topology in topologies}
    step = Step(path, digest, config.model_dump(mode="json"))
    return _Plan(step, network, config, captured, links, points, _full(points, full, captured), notes)


def _trace(study: ScalingStudy, report: Report) -> Path:
    """The trace given, or one captured by training the network given."""
    if study.target in list_networks() or Path(study.target).suffix in _NETWORK_SUFFIXES:
        network, config = load_network(study.target), base_config(study.config, study.overrides, None)
        images = 2 * config.contract.micro_batch if study.images is None else study.images
        settings = TrainingSettings(network, study.steps, study.steps, config.contract, batch=images, seed=study.seed)
        return captured_trace(settings, report=partial(report, "training"))
    if not Path(study.target).exists():
        allowed = f"{', '.join(list_networks())}, a network file (.yaml) or a trace file"
        raise InputError("unknown network or trace", "study scaling", study.target, allowed)
    if study.images is not None:
        raise InputError("a trace has its own; give a network to have others captured", "--images", study.images)
    return Path(study.target)


def _full(points: Sequence[Point], chips: Sequence[int], captured: Captured) -> list[Point]:
    """The points to simulate in full; InputError for a number of chips none of whose points has so few images."""
    found = []
    for n in chips:
        these = [p for p in points if p.chips == n and p.micro_batches <= captured.count]
        if not these:
            what = "no cluster of so many chips can be simulated in full from this trace"
            most = f"numbers in --chips with at most {captured.count * captured.size} images a chip"
            raise InputError(what, "--full", n, most)
        found += these
    return found


def _chips_alone(plan: _Plan, point: Point) -> list[Simulated]:
    """The chips that a point is made of: each that differs, or two of different sizes to tell a larger one from."""
    captured = plan.captured
    if point.micro_batches > captured.count:
        return [plan.alone(0, count) for count in (captured.count - 1, captured.count)]
    return [plan.alone(*share) for share in captured.shares(point.chips, point.micro_batches)]


def _in_full(plan: _Plan, point: Point) -> Simulated:
    shares = [plan.captured.share(*share) for share in plan.captured.shares(point.chips, point.micro_batches)]
    chips = tuple(shares[chip % len(shares)] for chip in range(point.chips))
    return Simulated(chips, links=plan.links[point.topology])


def _chips(plan: _Plan, results: Results, point: Point) -> list[ChipStep]:
    chips = [ChipStep.of(times_of(results[chip])) for chip in _chips_alone(plan, point)]
    more = point.micro_batches - plan.captured.count
    return [chips[1].with_more(chips[0], more)] if more > 0 else chips


def _rows(plan: _Plan, results: Results, contention: Contention) -> list[Row]:
    gradients = gradients_of(plan.network, plan.config)
    none = [0] * len(gradients)
    rows = []
    for point in plan.points:
        chips = _chips(plan, results, point)
        durations = [plan.links[point.topology].all_reduce_ps(point.chips, gradient) for gradient in gradients]
        step_ps = cluster_step(chips, durations, contention).step_ps
        size, told = plan.captured.size, point.micro_batches > plan.captured.count
        rows.append(
            {
                "scaling": point.scaling,
                "topology": point.topology,
                "chips": point.chips,
                "batch_images": point.chips * point.micro_batches * size,
                "chip_images": point.micro_batches * size,
                "different_chips": len(chips),
                "told_from_images": [(plan.captured.count - 1) * size, plan.captured.count * size] if told else None,
                "step_ps": step_ps,
                "all_reduce_ps": sum(durations),
                "exposed_ps": step_ps - cluster_step(chips, none, contention).step_ps,
                **_speedup(plan, results, point, contention, step_ps, none),
                "full_ps": results[_in_full(plan, point)]["end_ps"] if point in plan.full else None,
            }
        )
    return rows


def _speedup(
    plan: _Plan, results: Results, point: Point, contention: Contention, step_ps: int, none: Sequence[int]
) -> dict[str, float]:
    """How much sooner an image is done than on one chip that has the cluster's batch, or in weak scaling a chip's."""
    micro_batches = point.micro_batches * (point.chips if point.scaling == STRONG else 1)
    one = Point(point.scaling, point.topology, 1, micro_batches)
    one_ps = cluster_step(_chips(plan, results, one), none, contention).step_ps
    speedup = one_ps / step_ps * (1 if point.scaling == STRONG else point.chips)
    return {"speedup": speedup, "efficiency": speedup / point.chips}
