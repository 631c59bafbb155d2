"""A dated measurement of a real GPU (made by scripts/measure_gpu.py): read, checked, fitted to, and compared with.

The rates it holds become the constants of the model; its training steps, which no constant is fitted to, then give the
model's error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.gpu.data import number, table, whole
from tlm.analysis.gpu.device import Constant, Device, check_precision, device_of_driver_name
from tlm.analysis.gpu.layers import LayerNetwork, from_network
from tlm.analysis.gpu.model import Estimate, estimate
from tlm.analysis.technology.range import Range
from workloads.network import parse_network

SCHEMA = "h2learn.gpu-measurement/1"
RATES = ("bytes_per_s", "matmul_flop_per_s", "conv3x3_flop_per_s", "launch_s")
_KEYS = ("schema", "date", "command", "device", "software", "precision", "rates", "steps")
_STEP_KEYS = ("network", "neuron", "batch", "warmup", "step_s", "peak_memory_bytes", "power_w")


@dataclass(frozen=True)
class MeasuredStep:
    """Training steps of one network: times of each, peak memory, and the mean power where it could be read."""

    network: LayerNetwork
    batch: int
    step_s: tuple[float, ...]
    peak_memory_bytes: int
    power_w: float | None

    @property
    def median_s(self) -> float:
        """Median time of a step."""
        return median(self.step_s)


@dataclass(frozen=True)
class Measurement:
    """A measured file: which device, when, at which precision, its rates (repeated) and its steps."""

    device: Device
    reported_name: str
    date: str
    precision: str
    rates: Mapping[str, tuple[float, ...]]
    steps: tuple[MeasuredStep, ...]


@dataclass(frozen=True)
class StepError:
    """A measured step and the model's answer, calculated with the constants of the same file."""

    measured: MeasuredStep
    result: Estimate

    @property
    def time_error(self) -> float:
        """Nominal model over median measurement, minus 1."""
        return self.result.time_s.nominal / self.measured.median_s - 1.0

    @property
    def memory_error(self) -> float:
        """What the model holds, without an overhead, over the measured peak, minus 1."""
        return self.result.memory_bytes.low / self.measured.peak_memory_bytes - 1.0


def read_measurement(path: Path) -> Measurement:
    """Read a measured file. Raises InputError where it cannot be read or is not one."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file ({error})", str(path)) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"not valid JSON ({error})", str(path)) from error
    return parse_measurement(raw, str(path))


def parse_measurement(raw: object, where: str) -> Measurement:
    """Check the content of a measured file. Raises InputError naming the key."""
    content = table(raw, where, _KEYS)
    if content["schema"] != SCHEMA:
        raise InputError("not a measurement of this version", f"{where}: schema", content["schema"], SCHEMA)
    machine = table(content["device"], f"{where}: device", ("name", "driver", "memory_bytes"))
    device = device_of_driver_name(str(machine["name"]))
    precision = str(content["precision"])
    check_precision(device, precision)
    rates = table(content["rates"], f"{where}: rates", RATES)
    steps = content["steps"]
    if not isinstance(steps, list) or not steps:
        raise InputError("must be a list of measured steps", f"{where}: steps", steps)
    return Measurement(
        device=device,
        reported_name=str(machine["name"]),
        date=str(content["date"]),
        precision=precision,
        rates={name: _samples(rates[name], f"{where}: rates: {name}") for name in RATES},
        steps=tuple(_step(step, f"{where}: steps[{index}]") for index, step in enumerate(steps, start=1)),
    )


def _samples(raw: object, where: str) -> tuple[float, ...]:
    if not isinstance(raw, list) or not raw:
        raise InputError("must be a list of repeated measurements", where, raw)
    return tuple(number(value, where, above=True) for value in raw)


def _step(raw: object, where: str) -> MeasuredStep:
    content = table(raw, where, _STEP_KEYS)
    network = from_network(parse_network(content["network"], f"{where}: network"), str(content["neuron"]))
    power = content["power_w"]
    if power is not None:
        parts = table(power, f"{where}: power_w", ("mean", "least", "most", "samples"))
        power = number(parts["mean"], f"{where}: power_w: mean", above=True)
    return MeasuredStep(
        network=network,
        batch=whole(content["batch"], f"{where}: batch"),
        step_s=_samples(content["step_s"], f"{where}: step_s"),
        peak_memory_bytes=whole(content["peak_memory_bytes"], f"{where}: peak_memory_bytes"),
        power_w=power,
    )


def fitted_constants(measurement: Measurement) -> dict[str, Constant]:
    """Return the constants that a measurement gives: slowest, median and fastest of its repetitions."""
    device = measurement.device
    peak = device.peak_flop_per_s[measurement.precision]
    units = {
        "bandwidth_share": ("bytes_per_s", 1 / device.bandwidth_bytes_per_s),
        "matmul_share": ("matmul_flop_per_s", 1 / peak),
        "conv3x3_share": ("conv3x3_flop_per_s", 1 / peak),
        "launch_us": ("launch_s", 1e6),
    }
    fitted = {name: _fitted(measurement, name, measurement.rates[rate], unit) for name, (rate, unit) in units.items()}
    drawn = [step.power_w for step in measurement.steps if step.power_w is not None]
    if drawn:
        fitted["power_share"] = _fitted(measurement, "power_share", drawn, 1 / device.power_w)
    return fitted


def _fitted(measurement: Measurement, name: str, samples: Sequence[float], factor: float) -> Constant:
    value = Range(min(samples), median(samples), max(samples)) * factor
    source = f"measured on {measurement.reported_name}, {measurement.date}"
    unit = "us" if name == "launch_us" else "share"
    return Constant(name, unit, measurement.device.key, measurement.precision, value, source, "measured", source)


def step_errors(measurement: Measurement) -> list[StepError]:
    """Return the model's answer to each measured step; no step took part in the fit, except for its power."""
    constants = fitted_constants(measurement)
    return [
        StepError(step, estimate(step.network, measurement.device, step.batch, measurement.precision, constants))
        for step in measurement.steps
    ]


def to_dict(error: StepError) -> dict[str, Any]:
    """Return a measured step and the model's answer as plain values."""
    return {
        "network": error.measured.network.name,
        "neuron": error.measured.network.neuron,
        "batch": error.measured.batch,
        "measured_s": error.measured.median_s,
        "model_s": error.result.time_s.to_dict(),
        "time_error": error.time_error,
        "measured_peak_bytes": error.measured.peak_memory_bytes,
        "model_bytes": error.result.memory_bytes.low,
        "memory_error": error.memory_error,
        "measured_power_w": error.measured.power_w,
    }
