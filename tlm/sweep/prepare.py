"""From points to tasks: configurations checked, and the traces that points need captured once and shared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from rtl_models.errors import InputError
from tlm.analysis.bandwidth.captures import captured_trace
from tlm.analysis.evaluation.options import EVALUATED_IMAGES
from tlm.analysis.evaluation.rerun import step_in
from tlm.analysis.evaluation.stages import stages_folder
from tlm.analysis.simulations import Task
from tlm.config import Config, check_config, load_config, set_key
from tlm.schedule.placement import place
from tlm.sweep.measure import measure
from tlm.sweep.points import Point, Workload
from tlm.sweep.spec import SweepSpec
from tlm.trace_config import config_for_trace
from workloads.network import Network, load_network
from workloads.record import Arithmetic
from workloads.trace_file import open_trace
from workloads.training_settings import TrainingSettings

CONFIG = "config"

Report = Callable[[str, int, int], None]
"""Called with (phase, done, in all) as a sweep goes on."""


@dataclass(frozen=True)
class TraceFile:
    """A trace as it is needed to make tasks."""

    path: Path
    digest: str
    network: str
    timesteps: int
    batch: int
    arithmetic: Arithmetic


@dataclass(frozen=True)
class Prepared:
    """A point with its task, or with the error that leaves it without one; `trace` is what it runs, if known."""

    point: Point
    task: Task | None = None
    trace: TraceFile | None = None
    error: str | None = None


@dataclass
class Preparation:
    """Makes tasks from points; traces and configurations are read, and networks trained, once."""

    spec: SweepSpec
    report: Report
    _files: dict[Path, TraceFile] = field(default_factory=dict)
    _bases: dict[Workload, Config] = field(default_factory=dict)
    _networks: dict[str, Network] = field(default_factory=dict)
    _captured: dict[tuple[Workload, Arithmetic], TraceFile | InputError] = field(default_factory=dict)

    def check(self, points: Iterable[Point]) -> None:
        """Raise InputError for what every point of a kind would suffer from: trace, network, configuration."""
        for workload in dict.fromkeys(point.workload for point in points):
            self._base(workload)

    def prepare(self, point: Point) -> Prepared:
        """Return the point's task; where its configuration or its step cannot be, its error."""
        base = self._base(point.workload)
        try:
            settings = base.model_dump(mode="json")
            for key, value in point.settings.items():
                set_key(settings, key, value, CONFIG)
            config = check_config(settings, CONFIG)
            trace = self._trace(point.workload, config, base)
        except InputError as error:
            return Prepared(point, error=str(error))
        images = min(self.spec.workload.images or trace.batch, trace.batch)
        return Prepared(point, Task(point.name, trace.path, trace.digest, images, settings, measure), trace)

    @cached_property
    def _overrides(self) -> tuple[str, ...]:
        return tuple(f"{key}={json.dumps(value)}" for key, value in self.spec.overrides.items())

    def _base(self, workload: Workload) -> Config:
        """The configuration that a workload's points vary."""
        if workload not in self._bases:
            if workload.trace is not None:
                arithmetic = self._file(Path(workload.trace)).arithmetic
                self._bases[workload] = config_for_trace(arithmetic, self.spec.config, self._overrides)
            else:
                self._network(workload)
                self._bases[workload] = load_config(self.spec.config or "h2learn", self._overrides)
        return self._bases[workload]

    def _network(self, workload: Workload) -> Network:
        name = str(workload.network)
        if name not in self._networks:
            self._networks[name] = load_network(name)
        network = self._networks[name]
        return replace(network, timesteps=workload.timesteps or network.timesteps)

    def _file(self, path: Path) -> TraceFile:
        if path not in self._files:
            with open_trace(path) as trace:
                self._files[path] = TraceFile(
                    path, trace.digest, trace.network.name, trace.timesteps, trace.batch, trace.arithmetic
                )
        return self._files[path]

    def _trace(self, workload: Workload, config: Config, base: Config) -> TraceFile:
        """The step that a configuration runs: that of its arithmetic.

        A network is trained in the arithmetic of `base`, and a trace has its own; in another k, number of lanes or
        micro-batch the same step is computed again from the same state. Another number format trains anew.
        """
        ours, arithmetic = base.contract, config.contract
        same_formats = (ours.value, ours.sum) == (arithmetic.value, arithmetic.sum)
        if workload.trace is not None:
            found = self._file(Path(workload.trace))
        else:
            found = self._capture(workload, config, ours if same_formats else arithmetic)
        if same_formats and found.arithmetic != arithmetic:
            return self._file(step_in(found.path, arithmetic, stages_folder(None, arithmetic)))
        return found

    def _capture(self, workload: Workload, config: Config, arithmetic: Arithmetic) -> TraceFile:
        """The trace of a network; an InputError is kept, and raised for every point that needs the trace."""
        key = (workload, arithmetic)
        settings = self._training(workload, arithmetic)
        if key not in self._captured:
            settings.check()
            place(settings.network, settings.captured_images, config)  # nothing is trained for what cannot be placed
            phase = f"training {settings.network.name} (T {settings.network.timesteps}, batch {settings.batch})"
            try:
                path = captured_trace(settings, report=lambda done, total: self.report(phase, done, total))
                self._captured[key] = self._file(path)
            except InputError as error:
                self._captured[key] = error
        found = self._captured[key]
        if isinstance(found, InputError):
            raise found
        return found

    def _training(self, workload: Workload, arithmetic: Arithmetic) -> TrainingSettings:
        given = self.spec.workload
        batch = workload.batch or given.batch
        return TrainingSettings(
            self._network(workload),
            given.steps,
            given.steps,
            arithmetic,
            batch=batch,
            seed=given.seed,
            capture_batch=None if given.images is None else min(given.images, batch),
            evaluated=EVALUATED_IMAGES,
        )
