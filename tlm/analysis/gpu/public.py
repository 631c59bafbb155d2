"""The model against public measurements: its time, theirs, and the error, one line a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tlm.analysis.gpu.data import package_yaml
from tlm.analysis.gpu.device import load_device
from tlm.analysis.gpu.kernels import stored_bytes
from tlm.analysis.gpu.layers import LayerNetwork, load_layers
from tlm.analysis.gpu.model import Estimate, estimate
from tlm.analysis.technology.range import Range


@dataclass(frozen=True)
class Comparison:
    """One report and the model's answer; `calibration` says that a constant was fitted to it."""

    key: str
    result: Estimate
    model_s: Range
    measured_s: float
    calibration: bool
    source: str
    assumed: str

    @property
    def error(self) -> float:
        """Nominal model over measurement, minus 1."""
        return self.model_s.nominal / self.measured_s - 1.0

    @property
    def within(self) -> bool:
        """Whether the measurement lies in the model's range."""
        return self.model_s.low <= self.measured_s <= self.model_s.high


def compare_all() -> list[Comparison]:
    """Run the model on every public measurement of the table."""
    return [_compare(raw) for raw in package_yaml("public_measurements.yaml")]


def _compare(raw: dict[str, Any]) -> Comparison:
    network = load_layers(raw["network"], timesteps=raw.get("timesteps"))
    result = estimate(network, load_device(raw["device"]), raw["batch"], raw["precision"])
    corners = zip(result.time_s.to_dict().values(), result.inference_s.to_dict().values(), strict=True)
    model_s = Range(*(raw["runs"] * (raw["train_steps"] * train + raw["test_steps"] * test) for train, test in corners))
    return Comparison(
        key=raw["key"],
        result=result,
        model_s=model_s,
        measured_s=raw["measured_s"],
        calibration=raw["calibration"],
        source=raw["source"],
        assumed=raw["assumed"],
    )


def memory_growth(network: LayerNetwork, batch: int, precision: str) -> float:
    """Return what BPTT stores at the network's T over what one timestep of it stores.

    SpikingJelly's maintainer states at least T (github.com/fangwei123456/spikingjelly, issue 356) for what grows; the
    input, which is stored once here, is left out.
    """
    bare = replace(network, input_elements=0)
    return stored_bytes(bare, batch, precision) / stored_bytes(replace(bare, timesteps=1), batch, precision)


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values."""
    result = comparison.result
    return {
        "key": comparison.key,
        "network": result.network.name,
        "timesteps": result.network.timesteps,
        "device": result.device.key,
        "precision": result.precision,
        "batch": result.batch,
        "model_s": comparison.model_s.to_dict(),
        "measured_s": comparison.measured_s,
        "error": comparison.error,
        "within": comparison.within,
        "calibration": comparison.calibration,
        "source": comparison.source,
        "assumed": comparison.assumed,
    }
