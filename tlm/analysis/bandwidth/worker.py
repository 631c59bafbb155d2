"""Runs points of a study in a process: what does not depend on the DRAM is loaded or counted once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.bandwidth.measure import Measurement, measure
from tlm.analysis.bandwidth.points import Point, config_of
from tlm.analysis.open_traces import OpenTraces
from tlm.kernel.errors import KernelError


@dataclass(frozen=True)
class Task:
    """One point to be simulated, on the trace file of its workload."""

    point: Point
    trace: Path


class Worker:
    """Simulates points, one after the other; traces stay open."""

    def __init__(self) -> None:
        self._traces = OpenTraces()

    def run(self, task: Task) -> Measurement:
        """Return the measurement of a point, or {"error": ...} where its configuration cannot be simulated."""
        trace, counts = self._traces.get(task.trace)
        try:
            return measure(trace, config_of(task.point), counts)
        except (InputError, KernelError) as error:
            return failure(str(error))

    def close(self) -> None:
        """Close the traces."""
        self._traces.close()


def failure(text: str) -> dict[str, Any]:
    """Return what stands for the measurement of a point that failed."""
    return {"error": " ".join(text.split())}


_process: dict[str, Worker] = {}


def start_process() -> None:
    """Begin to work in this process."""
    _process["worker"] = Worker()


def run_in_process(task: Task) -> Measurement:
    """Simulate a point with this process's worker."""
    return _process["worker"].run(task)
