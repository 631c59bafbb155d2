"""The GPU baseline: time, memory and energy of one training step, with the range that the constants give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tlm.analysis.gpu import kernels as step
from tlm.analysis.gpu.data import whole
from tlm.analysis.gpu.device import CORNERS, Constant, Device, Rates, check_precision, constants_for, rates
from tlm.analysis.gpu.kernels import LINK, Kernel
from tlm.analysis.gpu.layers import LayerNetwork
from tlm.analysis.technology.range import Range


@dataclass(frozen=True)
class KindTotal:
    """All kernels of one kind: launches, operations, bytes, time, and how much of it is launch overhead."""

    kind: str
    launches: int
    flop: int
    bytes: int
    time_s: Range
    launch_s: Range


@dataclass(frozen=True)
class Estimate:
    """One training step on one GPU. `time_s.low` is the fastest that the constants allow, `high` the slowest."""

    network: LayerNetwork
    device: Device
    precision: str
    batch: int
    constants: Mapping[str, Constant]
    kinds: tuple[KindTotal, ...]
    time_s: Range
    inference_s: Range
    energy_j: Range
    stored_bytes: int
    memory_bytes: Range

    def __repr__(self) -> str:
        low, nominal, high = (value * 1e3 for value in (self.time_s.low, self.time_s.nominal, self.time_s.high))
        where = f"{self.network.name} on {self.device.name}, {self.precision}, batch {self.batch}"
        return f"Estimate({where}: {nominal:.3g} ms ({low:.3g} to {high:.3g}))"

    @property
    def fits(self) -> bool:
        """Whether the nominal memory fits into the device."""
        return self.memory_bytes.nominal <= self.device.memory_bytes

    @property
    def flop(self) -> int:
        """Operations of the step."""
        return sum(kind.flop for kind in self.kinds)

    @property
    def launches(self) -> int:
        """Kernels launched in the step."""
        return sum(kind.launches for kind in self.kinds)


def kernel_time_s(kernel: Kernel, rate: Rates) -> float:
    """Time of one launch: overhead plus the longer of arithmetic and memory; a copy from the host takes its link."""
    if kernel.unit == LINK:
        return rate.launch_s + kernel.bytes / rate.link_bytes_per_s
    flop_per_s = {
        step.MATMUL: rate.matmul_flop_per_s,
        step.CONV3X3: rate.conv3x3_flop_per_s,
        step.VECTOR: rate.vector_flop_per_s,
    }[kernel.unit]
    return rate.launch_s + max(kernel.flop / flop_per_s, kernel.bytes / rate.bytes_per_s)


def estimate(
    network: LayerNetwork,
    device: Device,
    batch: int,
    precision: str = "binary32",
    constants: Mapping[str, Constant] | None = None,
) -> Estimate:
    """Estimate one training step of `batch` samples; `constants` replace those of the table.

    Raises InputError for a precision the device lacks and a batch below 1.
    """
    check_precision(device, precision)
    whole(batch, "batch")
    chosen = dict(constants_for(device, precision)) | dict(constants or {})
    corners = {corner: rates(device, precision, chosen, corner) for corner in CORNERS}
    launched = step.step_kernels(network, batch, precision)
    kinds = tuple(_total(kind, launched, corners) for kind in step.KINDS if any(k.kind == kind for k in launched))
    time_s = _range(corners, lambda rate: _sum(launched, rate))
    forward = step.inference_kernels(network, batch, precision)
    stored = step.stored_bytes(network, batch, precision)
    held = stored + step.state_bytes(network, precision)
    return Estimate(
        network=network,
        device=device,
        precision=precision,
        batch=batch,
        constants=chosen,
        kinds=kinds,
        time_s=time_s,
        inference_s=_range(corners, lambda rate: _sum(forward, rate)),
        energy_j=_range(corners, lambda rate: _sum(launched, rate) * rate.power_w),
        stored_bytes=stored,
        memory_bytes=_range(corners, lambda rate: held * (1.0 + rate.memory_overhead)),
    )


def _sum(launched: Iterable[Kernel], rate: Rates) -> float:
    return sum(kernel.launches * kernel_time_s(kernel, rate) for kernel in launched)


def _range(corners: Mapping[str, Rates], value: Callable[[Rates], float]) -> Range:
    return Range(*(value(corners[corner]) for corner in CORNERS))


def _total(kind: str, launched: Iterable[Kernel], corners: Mapping[str, Rates]) -> KindTotal:
    own = [kernel for kernel in launched if kernel.kind == kind]
    launches = sum(kernel.launches for kernel in own)
    return KindTotal(
        kind=kind,
        launches=launches,
        flop=sum(kernel.launches * kernel.flop for kernel in own),
        bytes=sum(kernel.launches * kernel.bytes for kernel in own),
        time_s=_range(corners, lambda rate: _sum(own, rate)),
        launch_s=_range(corners, lambda rate: launches * rate.launch_s),
    )


def to_dict(result: Estimate) -> dict[str, Any]:
    """Return an estimate as plain values; units stand in the names, ranges are low, nominal, high."""
    network, device = result.network, result.device
    return {
        "network": {
            "name": network.name,
            "timesteps": network.timesteps,
            "neuron": network.neuron,
            "norm": network.norm,
            "fold_time": network.fold_time,
            "forward_macs_per_sample": network.macs,
            "weights": network.weights,
        },
        "device": {
            "key": device.key,
            "name": device.name,
            "memory_bytes": device.memory_bytes,
            "power_w": device.power_w,
            "area_mm2": device.area_mm2,
            "transistors": device.transistors,
        },
        "precision": result.precision,
        "batch": result.batch,
        "step_s": result.time_s.to_dict(),
        "sample_s": (result.time_s / result.batch).to_dict(),
        "inference_s": result.inference_s.to_dict(),
        "energy_j": result.energy_j.to_dict(),
        "sample_energy_j": (result.energy_j / result.batch).to_dict(),
        "memory_bytes": result.memory_bytes.to_dict(),
        "stored_bytes": result.stored_bytes,
        "fits": result.fits,
        "launches": result.launches,
        "flop": result.flop,
        "kinds": [
            {
                "kind": kind.kind,
                "launches": kind.launches,
                "flop": kind.flop,
                "bytes": kind.bytes,
                "time_s": kind.time_s.to_dict(),
                "launch_s": kind.launch_s.to_dict(),
            }
            for kind in result.kinds
        ],
        "constants": [
            {
                "name": name,
                **constant.value.to_dict(),
                "unit": constant.unit,
                "device": constant.device,
                "source": constant.source,
                "verified": constant.verified,
                "calibrated_on": constant.calibrated_on,
            }
            for name, constant in sorted(result.constants.items())
        ],
    }
