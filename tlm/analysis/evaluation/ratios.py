"""Ratios of a GPU to our machine: low, nominal and high, beside the published range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlm.analysis.evaluation.gpu_step import GpuStep
from tlm.analysis.evaluation.published import PUBLISHED
from tlm.analysis.simulations import Measurement
from tlm.analysis.technology.range import Range

PS_PER_S, PJ_PER_J = 1e12, 1e12


def image_s(step: Measurement, batch: int) -> float:
    """Seconds of our machine for an image of a step of `batch` images."""
    return float(step["time_ps"]) / PS_PER_S / batch


def image_j(step: Measurement, batch: int) -> Range:
    """Joules of our machine for an image of a step of `batch` images."""
    return Range(**step["energy_pj"]) / (PJ_PER_J * batch)


def mean(values: Sequence[Range]) -> Range:
    """The mean of several quantities, each corner by itself."""
    return Range.total(values) / len(values)


def speedup(gpu: GpuStep, ours_s: float) -> Range:
    """How many times faster our machine is: its time is simulated and has no range, the GPU's comes with one."""
    return gpu.image_s / ours_s


def energy_ratio(gpu: GpuStep, ours_j: Range) -> Range:
    """How many times less energy an image takes."""
    return gpu.image_j / ours_j


def beside_published(name: str, found: Range) -> dict[str, Any]:
    """Return a ratio with what is published of it, and how far the nominal one is from that (0: inside)."""
    published = PUBLISHED[name]
    return {
        **found.to_dict(),
        "published": published.to_dict(),
        "difference": published.difference(found.nominal),
    }
