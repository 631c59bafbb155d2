"""The knee of a curve of step time against bandwidth, by two definitions that can be looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 0.05


@dataclass(frozen=True)
class Knee:
    """Where more bandwidth stops to pay.

    `measured_bytes_per_us` is the smallest simulated bandwidth from which on the step takes at most `TOLERANCE` more
    than with unlimited bandwidth, None where no simulated one does. `asymptotes_bytes_per_us` is where the curve's two
    asymptotes cross: the time of unlimited bandwidth, and the step's bytes at full speed of the DRAM.
    """

    measured_bytes_per_us: int | None
    asymptotes_bytes_per_us: float


def find_knee(curve: Sequence[tuple[int, int]], unlimited_ps: int, dram_bytes: int) -> Knee:
    """Return the knee of a curve of (peak bytes per us, step ps) that needs `unlimited_ps` without any DRAM limit."""
    measured: int | None = None
    for bandwidth, time_ps in sorted(curve, reverse=True):
        if time_ps > unlimited_ps * (1 + TOLERANCE):
            break
        measured = bandwidth
    return Knee(measured, dram_bytes / unlimited_ps * 1e6)
