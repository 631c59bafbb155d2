"""Traces that a process simulates again and again: each is opened, and what it holds is counted, once."""

from __future__ import annotations

from pathlib import Path

from tlm.schedule.step_counts import StepCounts
from workloads.trace_file import Trace, open_trace


class OpenTraces:
    """Keeps traces open until `close`."""

    def __init__(self) -> None:
        self._traces: dict[Path, tuple[Trace, StepCounts]] = {}

    def get(self, path: Path) -> tuple[Trace, StepCounts]:
        """Return a trace and its counts; raises InputError where the file is no sound trace."""
        if path not in self._traces:
            trace = open_trace(path)
            self._traces[path] = (trace, StepCounts(trace))
        return self._traces[path]

    def close(self) -> None:
        """Close all."""
        for trace, _ in self._traces.values():
            trace.close()
