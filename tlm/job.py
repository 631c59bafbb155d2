"""The main job: train for a short while, capture the last step, simulate it, co-simulate it, write a result folder."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from rtl_models.simulators import simulator_by_name
from tlm.config import Config, load_config
from tlm.cosim import config_for_trace, cosimulate
from tlm.cosim.builds import built_meanwhile
from tlm.dram_model import check_dram
from tlm.report.plots import write_plots
from tlm.report.result import build_result, write_json
from tlm.report.timeline import timeline
from tlm.report.waveform import write_waveform
from tlm.rtl_geometry import check_has_rtl
from tlm.schedule.placement import place
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import simulate
from tlm.trace_config import check_reset
from workloads.datasets import choose_dataset
from workloads.network import Network, list_networks, load_network
from workloads.trace_file import Trace, open_trace
from workloads.trainer import train
from workloads.training_settings import TrainingSettings

TRACE = "trace.h5"
RESULT = "result.json"
WAVEFORM = "chip.vcd"
NO_COSIM = "none"
_NETWORK_SUFFIXES = (".yaml", ".yml")

Report = Callable[[str, int, int], None]
"""Called with (phase, done, in all) as the job goes on."""


@dataclass(frozen=True)
class Job:
    """What to run: a network (name or YAML file) that is trained first, or a trace file that is there already."""

    target: str = "digits-conv"
    config: str | None = None
    overrides: tuple[str, ...] = ()
    cosim: str = "sample"
    simulator: str = "auto"
    sample_seed: int = 0
    epochs: int = 1
    steps: int | None = None  # instead of epochs
    batch: int = 32
    seed: int = 0
    vcd: bool = False  # write chip.vcd too


def run_job(job: Job, out: Path, command: str = "", report: Report = lambda phase, done, total: None) -> dict[str, Any]:
    """Run `job`, write its results into the folder `out`, and return the content of `result.json`.

    Everything that can be checked is checked before the first step of training. Raises InputError for a user's
    mistake, SimulatorError where a simulator cannot be built, Deadlock where buffers are too small for the pipeline.
    """
    network = _network(job)
    if job.cosim != NO_COSIM and job.simulator != "auto":
        simulator_by_name(job.simulator)
    with _result_folder(out) as work, ExitStack() as opened:
        if network is not None:
            batch = job.batch
            config = load_config(job.config or "h2learn", job.overrides)
            trace_path = work / TRACE
        else:
            trace_path = Path(job.target)
            trace = opened.enter_context(open_trace(trace_path))  # once: that reads all of it for its checksum
            batch = trace.batch
            config = config_for_trace(trace.arithmetic, job.config, job.overrides)
        if job.cosim != NO_COSIM:
            check_has_rtl(config)
        provenance = {"command": command, "trace": str(out / TRACE if network else trace_path)}
        with _hardware_built_meanwhile(job, network or trace.network, batch, config):
            training = None
            if network:
                training = _train(job, network, config, trace_path, report)
                trace = opened.enter_context(open_trace(trace_path))
            return _simulate(job, config, trace, training, provenance, (work, out), report)


def _hardware_built_meanwhile(job: Job, network: Network, batch: int, config: Config) -> AbstractContextManager[None]:
    """What the co-simulation will need is built while the job trains and simulates."""
    if job.cosim == NO_COSIM:
        return nullcontext()
    return built_meanwhile(network, batch, config, job.simulator)


def _network(job: Job) -> Network | None:
    """The network to train, or None where the target is a trace."""
    if job.target in list_networks() or Path(job.target).suffix in _NETWORK_SUFFIXES:
        network = load_network(job.target)
        config = load_config(job.config or "h2learn", job.overrides)
        check_reset(config, network)
        _settings(job, network, config).check()
        check_dram(config.dram, place(network, job.batch, config).dram_bytes)
        return network
    if not Path(job.target).exists():
        allowed = f"{', '.join(list_networks())}, a network file (.yaml) or a trace file"
        raise InputError("unknown network or trace", "run", job.target, allowed)
    return None


def _settings(job: Job, network: Network, config: Config) -> TrainingSettings:
    from workloads.training_settings import check_whole

    check_whole("epochs", job.epochs, 1)
    steps = job.steps
    if steps is None:
        steps = job.epochs * choose_dataset(network).steps_per_epoch(job.batch)
    return TrainingSettings(network, steps, steps, config.contract, batch=job.batch, seed=job.seed)


def _train(job: Job, network: Network, config: Config, trace: Path, report: Report) -> dict[str, Any]:
    settings = _settings(job, network, config)
    result = train(settings, trace, report=lambda progress: report("training", progress.step, settings.steps))
    last = result.progress.history[-1]
    return {
        "dataset": settings.dataset.name,
        "steps": settings.steps,
        "batch": job.batch,
        "seed": job.seed,
        "loss": last.loss if math.isfinite(last.loss) else None,
        "held_out_accuracy": last.held_out_accuracy,
        "skipped_steps": result.progress.skipped_steps,
        "seconds": result.progress.seconds,
    }


def _simulate(
    job: Job,
    config: Config,
    trace: Trace,
    training: dict[str, Any] | None,
    provenance: dict[str, str],
    folders: tuple[Path, Path],
    report: Report,
) -> dict[str, Any]:
    """Simulate and co-simulate the trace; results go into the first of `folders`, a failing tile into the second."""
    work, out = folders
    report("simulation", 0, 1)
    counts = StepCounts(trace)
    simulation = simulate(trace, config, work / "transactions.parquet", counts=counts, occupancy=True)
    report("simulation", 1, 1)
    cosim = None
    if job.cosim != NO_COSIM:
        cosim = cosimulate(
            trace.path,
            config,
            job.cosim,
            job.simulator,
            job.sample_seed,
            progress=lambda done, total: report("co-simulation", done, total),
            out=out,
        ).to_dict()
    content = build_result(
        trace, config, simulation, training=training, cosim=cosim, provenance=provenance, counts=counts
    )
    write_json(timeline(simulation, trace.network), work / "timeline.json", compact=True)
    if job.vcd:
        write_waveform(simulation, trace.network, work / WAVEFORM)
    write_plots(work, simulation, content, trace.network)
    write_json(content, work / RESULT)
    return content


@contextmanager
def _result_folder(out: Path) -> Iterator[Path]:
    """Give a folder inside `out` to work in; on success its files move to `out`, else `out` stays as it was.

    `result.json` moves last, so that it never stands beside files of another run.
    """
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".running-", dir=out))
    except OSError as error:
        what = f"the output folder cannot be written ({error.strerror})"
        raise InputError(what, "--out", str(out), "a folder that can be made and written") from error
    try:
        yield work
        for name in (RESULT, WAVEFORM):
            (out / name).unlink(missing_ok=True)
        for file in sorted(work.iterdir(), key=lambda file: file.name == RESULT):
            os.replace(file, out / file.name)
    finally:
        shutil.rmtree(work)
        if made and not any(out.iterdir()):
            out.rmdir()
