"""The bandwidth study: every point simulated once, in parallel, resumable, into one file, one table and some plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.bandwidth.captures import captured_trace
from tlm.analysis.bandwidth.dram_choice import parse_dram
from tlm.analysis.bandwidth.measure import measure
from tlm.analysis.bandwidth.points import (
    DEFAULT_FACTORS,
    Point,
    Workload,
    base_config,
    config_of,
    make_points,
    parse_factors,
    parse_potentials,
    parse_whole,
)
from tlm.analysis.bandwidth.study_file import write_study
from tlm.analysis.simulations import Measurement, Processes, Task, open_journal, simulate_all
from tlm.config import Config
from tlm.schedule.placement import place
from workloads.network import Network, list_networks, load_network
from workloads.trace_file import open_trace
from workloads.training_settings import TrainingSettings, check_whole

STUDY = "study.parquet"
JOURNAL = "study.journal"
_NETWORK_SUFFIXES = (".yaml", ".yml")

Report = Callable[[str, int, int], None]
"""Called with (phase, done, in all) as the study goes on."""
Row = dict[str, Any]


@dataclass(frozen=True)
class BandwidthStudy:
    """What to study; lists are texts as on the command line, None where the default is meant."""

    target: str
    dram: str | None = None
    buffers: str | None = None
    potentials: str | None = None
    timesteps: str | None = None
    batch: str | None = None
    config: str | None = None
    overrides: tuple[str, ...] = ()
    steps: int = 1
    seed: int = 0
    workers: int | None = None


@dataclass(frozen=True)
class StudyResult:
    """The rows of a study, in the order of its points, and how many came from an earlier, interrupted one."""

    rows: list[Row]
    layers: list[str]
    taken_over: int


@dataclass(frozen=True)
class _Plan:
    """A study whose options are checked: its points, and either a trace or networks to train."""

    config: Config
    points: list[Point]
    trace: Path | None
    network: Network


def run_study(study: BandwidthStudy, out: Path, report: Report = lambda phase, done, total: None) -> StudyResult:
    """Run `study`; write `study.parquet` into the folder `out` and return its rows.

    Every point's result is kept in a journal in `out` as soon as it is there, so that the same command goes on where an
    interrupted or killed one was, and a wider one runs only what is new. A point that cannot be simulated has its
    `error` and stops no other. Raises InputError for a user's mistake, and if no point at all can be simulated.
    """
    plan = _plan(study)
    _check_placements(plan)
    with Processes(study.workers) as processes, open_journal(out / JOURNAL, "a study") as journal:
        traces = _traces(study, plan, report)
        digests = {workload: _digest(path) for workload, path in traces.items()}
        tasks = [_task(point, traces[point.workload], digests[point.workload]) for point in plan.points]
        taken_over = sum(task.key in journal.done for task in tasks)
        found = simulate_all(tasks, journal, processes, partial(report, "simulation"))
        rows = [_row(point, plan, digests, found[task.key]) for point, task in zip(plan.points, tasks, strict=True)]
        _require_one(rows)
        asked = {key: value for key, value in asdict(study).items() if key != "workers"}
        write_study(rows, asked | {"config": plan.config.model_dump(mode="json")}, out / STUDY)
    return StudyResult(rows, [layer.name for layer in plan.network.layers], taken_over)


def _plan(study: BandwidthStudy) -> _Plan:
    factors = parse_factors(DEFAULT_FACTORS if study.buffers is None else study.buffers)
    potentials = None if study.potentials is None else parse_potentials(study.potentials)
    check_whole("--steps", study.steps, 1)
    timesteps = None if study.timesteps is None else parse_whole(study.timesteps, "--timesteps")
    batches = None if study.batch is None else parse_whole(study.batch, "--batch")
    if study.target in list_networks() or Path(study.target).suffix in _NETWORK_SUFFIXES:
        network = load_network(study.target)
        config = base_config(study.config, study.overrides, None)
        trace = None
        workloads = [Workload(t, b) for t in timesteps or (network.timesteps,) for b in batches or (32,)]
        for workload in workloads:
            _settings(study, network, config, workload).check()
    elif Path(study.target).exists():
        trace = Path(study.target)
        with open_trace(trace) as opened:
            network, own = opened.network, Workload(opened.timesteps, opened.batch)
            config = base_config(study.config, study.overrides, opened.arithmetic)
        _check_own("--timesteps", timesteps, own.timesteps)
        _check_own("--batch", batches, own.batch)
        workloads = [own]
    else:
        allowed = f"{', '.join(list_networks())}, a network file (.yaml) or a trace file"
        raise InputError("unknown network or trace", "study bandwidth", study.target, allowed)
    drams = parse_dram(study.dram, config)
    return _Plan(config, make_points(config, tuple(workloads), factors, drams, potentials), trace, network)


def _check_own(option: str, given: tuple[int, ...] | None, own: int) -> None:
    if given not in (None, (own,)):
        what = "a trace has its own; give a network to have others trained"
        raise InputError(what, option, ",".join(map(str, given or ())), str(own))


def _settings(study: BandwidthStudy, network: Network, config: Config, workload: Workload) -> TrainingSettings:
    chosen = replace(network, timesteps=workload.timesteps)
    return TrainingSettings(chosen, study.steps, study.steps, config.contract, batch=workload.batch, seed=study.seed)


def _check_placements(plan: _Plan) -> None:
    """Raise the first point's error if no point can be placed, before anything is trained for."""
    first: InputError | None = None
    for point in plan.points:
        try:
            place(replace(plan.network, timesteps=point.workload.timesteps), point.workload.batch, config_of(point))
            return
        except InputError as error:
            first = first or error
    if first is not None:
        raise first


def _traces(study: BandwidthStudy, plan: _Plan, report: Report) -> dict[Workload, Path]:
    """The trace of every workload: the one given, or one captured for it."""
    workloads = list(dict.fromkeys(point.workload for point in plan.points))
    if plan.trace is not None:
        return dict.fromkeys(workloads, plan.trace)
    paths = {}
    for workload in workloads:
        phase = f"training (T {workload.timesteps}, batch {workload.batch})"
        settings = _settings(study, plan.network, plan.config, workload)
        paths[workload] = captured_trace(settings, report=partial(report, phase))
    return paths


def _digest(path: Path) -> str:
    with open_trace(path) as trace:
        return trace.digest


def _task(point: Point, trace: Path, digest: str) -> Task:
    return Task(point.name, trace, digest, point.workload.batch, point.settings, measure)


def _row(point: Point, plan: _Plan, digests: dict[Workload, str], result: Measurement) -> Row:
    return {
        "point": point.number,
        "network": plan.network.name,
        "trace_sha256": digests[point.workload],
        "timesteps": point.workload.timesteps,
        "batch_images": point.workload.batch,
        "buffer_factor": float(point.buffer_factor),
        "potentials": point.potentials,
        "dram": point.dram.label,
        "dram_family": point.dram.family,
        "dram_unlimited": point.dram.unlimited,
        **result,
    }


def _require_one(rows: list[Row]) -> None:
    """Raise InputError if every point (but those without any limit) failed: there is no study to show."""
    if all(row.get("error") for row in rows if not row["dram_unlimited"]):
        raise InputError(f"no DRAM can be simulated; the first says: {rows[0]['error']}", "study bandwidth")
