"""The GPU's side of the comparison: time and energy of an image in a training step, by the model of the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tlm.analysis.evaluation.options import Plan
from tlm.analysis.gpu.layers import from_network
from tlm.analysis.gpu.model import estimate
from tlm.analysis.technology.range import Range
from workloads.network import Network


@dataclass(frozen=True)
class GpuStep:
    """A training step on the GPU; `power_w` is what the model makes its energy of."""

    batch: int
    step_s: Range
    image_s: Range
    image_j: Range
    power_w: Range
    fits: bool

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "batch_images": self.batch,
            "step_s": self.step_s.to_dict(),
            "image_s": self.image_s.to_dict(),
            "image_energy_j": self.image_j.to_dict(),
            "power_w": self.power_w.to_dict(),
            "fits": self.fits,
        }


def gpu_step(plan: Plan, network: Network) -> GpuStep:
    """Return the step of `network` on the plan's GPU."""
    options = plan.options
    layers = from_network(network, options.gpu_neuron)
    found = estimate(layers, plan.device, options.gpu_batch, options.gpu_precision)
    share = found.constants["power_share"].value
    return GpuStep(
        options.gpu_batch,
        found.time_s,
        found.time_s / options.gpu_batch,
        found.energy_j / options.gpu_batch,
        share * plan.device.power_w,
        found.fits,
    )
