"""`result.json`: everything a run found, as plain data with units in the names (docs/result.md describes every key)."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.area.report import describe_area
from tlm.analysis.bandwidth.layer_work import traffic_by_layer, work_by_layer
from tlm.analysis.energy.activity import step_activity
from tlm.analysis.energy.report import describe_energy
from tlm.analysis.energy.step_energy import step_energy
from tlm.config import Config
from tlm.schedule.step_counts import StepCounts
from tlm.simulation import EngineTime, SimulationResult
from workloads.atomic import replacing
from workloads.trace_file import Trace

SCHEMA = "h2learn-result/2"
DISTRIBUTIONS = ("h2learn", "numpy", "simpy", "myhdl", "pyverilator", "numba", "h5py")


def build_result(
    trace: Trace,
    config: Config,
    simulation: SimulationResult,
    *,
    training: Mapping[str, Any] | None,
    cosim: Mapping[str, Any] | None,
    provenance: Mapping[str, Any],
    counts: StepCounts | None = None,
) -> dict[str, Any]:
    """Return the content of `result.json`; `training` and `cosim` are None where they were not run.

    `counts` are the trace's own, kept from the simulation.
    """
    energy, area = _energy_and_area(trace, config, simulation, counts)
    return {
        "schema": SCHEMA,
        "provisional": config.provisional,
        "provenance": {**versions(), **provenance, "trace_sha256": trace.digest},
        "network": _network(trace),
        "training": None if training is None else dict(training),
        "config": config.model_dump(mode="json"),
        "time": _time(simulation),
        "engines": {name: _engine(time) for name, time in simulation.engines.items()},
        "streams": [_span(span) for span in simulation.spans],
        "work": simulation.work,
        "layer_work": _layer_work(trace, config, simulation),
        "dram": _dram(simulation),
        "buffer_ports": {name: asdict(use) for name, use in simulation.buffer_ports.items()},
        "placement": _placement(simulation),
        "sparsity": [vars(trace.sparsity(layer)) for layer in range(len(trace.network.layers))],
        "energy": energy,
        "area": area,
        "cosim": None if cosim is None else dict(cosim),
    }


def write_json(content: object, path: Path, compact: bool = False) -> None:
    """Write JSON to `path`, whole or not at all; `compact`: on one line, for programs."""
    text = json.dumps(
        content, indent=None if compact else 1, separators=(",", ":") if compact else None, allow_nan=False
    )
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of the interpreter and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        found[name] = metadata.version(name)
    return found


def _network(trace: Trace) -> dict[str, Any]:
    return {
        "name": trace.network.name,
        "timesteps": trace.timesteps,
        "batch": trace.batch,
        "layers": [
            {
                "name": layer.name,
                "in_shape": [layer.in_height, layer.in_width, layer.in_channels],
                "out_shape": [layer.out_height, layer.out_width, layer.out_channels],
                "weights": layer.weights_count,
            }
            for layer in trace.network.layers
        ],
        "dataset": trace.dataset,
        "step": trace.step,
        "seed": trace.seed,
        "skipped": trace.skipped,
        "origin": trace.origin,
        "run": _training_run(trace),
    }


def _training_run(trace: Trace) -> dict[str, Any] | None:
    run = trace.training
    return None if run is None else asdict(run) | {"epochs": run.epochs, "briefly_trained": run.brief}


def _time(simulation: SimulationResult) -> dict[str, Any]:
    return {
        "step_ps": simulation.time_ps,
        "step_cycles": simulation.cycles,
        "clock_period_ps": simulation.clock_period_ps,
    }


def _engine(time: EngineTime) -> dict[str, Any]:
    return {"busy_ps": time.busy_ps, "blocked_ps": time.blocked_ps, "starved_ps": time.starved_ps}


def _span(span: Any) -> dict[str, Any]:
    return {
        "engine": span.stream.engine,
        "layer": span.stream.layer,
        "micro_batch": span.stream.micro_batch.index,
        "recompute": span.stream.recompute,
        "start_ps": span.start_ps,
        "end_ps": span.end_ps,
    }


def _layer_work(trace: Trace, config: Config, simulation: SimulationResult) -> list[dict[str, Any]]:
    traffic = traffic_by_layer(simulation, trace.network)
    return work_by_layer(simulation, trace.network, trace.batch, traffic, config)


def _energy_and_area(
    trace: Trace, config: Config, simulation: SimulationResult, counts: StepCounts | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Both as data; None for number formats whose units were not synthesised."""
    try:
        area = chip_area(config)
    except InputError:
        return None, None
    energy = step_energy(config, simulation, step_activity(trace, config, simulation, counts), area)
    return describe_energy(energy), describe_area(area, config)


def _dram(simulation: SimulationResult) -> dict[str, Any]:
    total = sum(simulation.dram_read_bytes.values()) + sum(simulation.dram_written_bytes.values())
    peak_bytes = simulation.dram_peak_bytes_per_us * simulation.time_ps / 1e6
    return {
        "read_bytes": simulation.dram_read_bytes,
        "written_bytes": simulation.dram_written_bytes,
        "burst_read_bytes": simulation.dram_burst_read_bytes,
        "burst_written_bytes": simulation.dram_burst_written_bytes,
        "total_bytes": total,
        "share_of_peak": total / peak_bytes,
        "peak_bytes_per_us": simulation.dram_peak_bytes_per_us,
        "channel_busy_ps": simulation.dram_busy_ps,
        "channels": [
            {
                "row_hits": channel.row_hits,
                "row_misses": channel.row_misses,
                "row_conflicts": channel.row_conflicts,
                "commands": channel.commands,
            }
            for channel in simulation.dram_channels
        ],
    }


def _placement(simulation: SimulationResult) -> dict[str, Any]:
    placement = simulation.placement
    return {
        "used_bytes": placement.used_bytes,
        "staging_bytes": placement.staging_bytes,
        "capacity_bytes": placement.capacity_bytes,
        "in_dram": sorted(
            [tensor.stream, tensor.layer] for key, tensor in placement.tensors.items() if key not in placement.resident
        ),
    }
