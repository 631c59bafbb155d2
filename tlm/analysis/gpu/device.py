"""The GPUs: data-sheet figures, and what of them a training step reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.gpu.data import package_yaml
from tlm.analysis.technology.range import Range

PRECISIONS = ("binary32", "tf32", "tensor16")
VALUE_BYTES: Mapping[str, int] = {"binary32": 4, "tf32": 4, "tensor16": 2}
CORNERS = ("low", "nominal", "high")
_ANY = "any"


@dataclass(frozen=True)
class Device:
    """One GPU of the table, as its data sheet has it; peaks per precision, dense."""

    key: str
    name: str
    matches: str
    peak_flop_per_s: Mapping[str, float]
    bandwidth_bytes_per_s: float
    memory_bytes: int
    link_bytes_per_s: float
    power_w: float
    area_mm2: float
    transistors: float


@dataclass(frozen=True)
class Constant:
    """A share, an overhead: its range, where it comes from, and what it was fitted to (empty: to nothing).

    `verified`: *seen* in the source itself, *quoted* by another work, *assumed* by us, or *measured* in a file of ours.
    """

    name: str
    unit: str
    device: str
    precision: str
    value: Range
    source: str
    verified: str
    calibrated_on: str


@dataclass(frozen=True)
class Rates:
    """What one corner of the constants gives: achieved rates, overheads and power."""

    matmul_flop_per_s: float
    conv3x3_flop_per_s: float
    vector_flop_per_s: float
    bytes_per_s: float
    link_bytes_per_s: float
    launch_s: float
    power_w: float
    memory_overhead: float


def device_names() -> list[str]:
    """Return the names of the GPUs."""
    return list(package_yaml("devices.yaml"))


def load_device(name: str) -> Device:
    """Return a GPU by its name, case ignored. Raises InputError for an unknown one."""
    for key, raw in package_yaml("devices.yaml").items():
        if key.lower() == name.lower().replace(" ", ""):
            return _device(key, raw)
    raise InputError("unknown device", "device", name, ", ".join(device_names()))


def device_of_driver_name(reported: str) -> Device:
    """Return the GPU that a driver calls `reported`. Raises InputError where none of ours is meant."""
    for key, raw in package_yaml("devices.yaml").items():
        if raw["matches"] in reported:
            return _device(key, raw)
    raise InputError("a measurement on a device without a model", "device", reported, ", ".join(device_names()))


def _device(key: str, raw: Mapping[str, Any]) -> Device:
    return Device(
        key=key,
        name=raw["name"],
        matches=raw["matches"],
        peak_flop_per_s={name: peak["value"] * 1e12 for name, peak in raw["peak_tflops"].items()},
        bandwidth_bytes_per_s=raw["bandwidth_gbps"]["value"] * 1e9,
        memory_bytes=raw["memory_gib"]["value"] * 2**30,
        link_bytes_per_s=raw["link_gbps"]["value"] * 1e9,
        power_w=float(raw["power_w"]["value"]),
        area_mm2=float(raw["area_mm2"]["value"]),
        transistors=float(raw["transistors"]["value"]),
    )


def check_precision(device: Device, precision: str) -> None:
    """Raise InputError where a GPU does not have a precision."""
    if precision not in device.peak_flop_per_s:
        raise InputError(
            f"{device.key} has no such precision", "precision", precision, ", ".join(device.peak_flop_per_s)
        )


def all_constants() -> list[Constant]:
    """Return the table of constants."""
    return [
        Constant(
            name=raw["name"],
            unit=raw["unit"],
            device=raw["device"],
            precision=raw.get("precision", ""),
            value=Range(raw["low"], raw["nominal"], raw["high"]),
            source=raw["source"],
            verified=raw["verified"],
            calibrated_on=raw.get("calibrated_on", ""),
        )
        for raw in package_yaml("constants.yaml")
    ]


def constants_for(device: Device, precision: str) -> dict[str, Constant]:
    """Return the constants of a GPU and a precision by name; the device's own before those of any device."""
    check_precision(device, precision)
    chosen: dict[str, Constant] = {}
    for constant in all_constants():
        fits = constant.device in (device.key, _ANY) and constant.precision in (precision, "")
        known = chosen.get(constant.name)
        if fits and (known is None or known.device == _ANY):
            chosen[constant.name] = constant
    # Without Winograd's algorithm (it is for binary32) a 3x3 convolution is a matrix product like the others.
    chosen.setdefault("conv3x3_share", chosen["matmul_share"])
    return chosen


def rates(device: Device, precision: str, constants: Mapping[str, Constant], corner: str) -> Rates:
    """Return the rates of a corner: "low" is the least time, power and memory that the constants allow."""
    shares = {"low": "high", "nominal": "nominal", "high": "low"}[corner]

    def share(name: str) -> float:
        return float(getattr(constants[name].value, shares))

    def cost(name: str) -> float:
        return float(getattr(constants[name].value, corner))

    peak = device.peak_flop_per_s[precision]
    return Rates(
        matmul_flop_per_s=peak * share("matmul_share"),
        conv3x3_flop_per_s=peak * share("conv3x3_share"),
        vector_flop_per_s=device.peak_flop_per_s["binary32"],
        bytes_per_s=device.bandwidth_bytes_per_s * share("bandwidth_share"),
        link_bytes_per_s=device.link_bytes_per_s,
        launch_s=cost("launch_us") * 1e-6,
        power_w=device.power_w * cost("power_share"),
        memory_overhead=cost("memory_overhead"),
    )
