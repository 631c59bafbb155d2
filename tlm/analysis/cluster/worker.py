"""What a scaling study simulates: chips by themselves, and whole clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.cluster.chip_step import Share, step_times
from tlm.analysis.cluster.collective import Links
from tlm.analysis.cluster.full import simulate_cluster
from tlm.analysis.cluster.overlap import StepTimes
from tlm.analysis.simulations import ERROR, Measurement, Processes, Task, open_journal, simulate_all
from tlm.config import Config
from tlm.schedule.step_counts import StepCounts
from workloads.trace_file import Trace

JOURNAL = "scaling.journal"


@dataclass(frozen=True)
class Simulated:
    """A chip by itself on its share of a trace, its optimiser held or not; with `links` a chip for each share."""

    shares: tuple[Share, ...]
    hold: bool = False
    links: Links | None = None

    def __call__(self, trace: Trace, config: Config, _images: int, counts: StepCounts) -> Measurement:
        """Return the times of the step."""
        if self.links is not None:
            return {"end_ps": simulate_cluster(trace, config, self.shares, self.links, counts)}
        times = step_times(trace, config, self.shares[0], counts, self.hold)
        return {"ready_ps": times.ready_ps, "updated_ps": times.updated_ps, "end_ps": times.end_ps}

    @property
    def images(self) -> int:
        """Images of all chips."""
        return sum(batch.count for share in self.shares for batch in share)


def times_of(result: Measurement) -> StepTimes:
    """Return the times of a chip by itself."""
    return StepTimes(tuple(result["ready_ps"]), tuple(result["updated_ps"]), result["end_ps"])


@dataclass(frozen=True)
class Step:
    """The trace and the configuration of all simulations of a study."""

    trace: Path
    digest: str
    settings: dict[str, Any]

    def simulate(
        self, what: Sequence[Simulated], out: Path, workers: int | None, report: Callable[[int, int], None]
    ) -> dict[Simulated, Measurement]:
        """Return the times of every simulation, each of which is kept in the folder `out` as soon as it is there.

        Raises InputError where one of them cannot be simulated.
        """
        tasks = {
            one: self._task(one) for one in sorted(what, key=lambda one: one.images, reverse=True)
        }  # longest first
        with open_journal(out / JOURNAL, "the study") as journal, Processes(workers) as processes:
            found = simulate_all(tasks.values(), journal, processes, report)
        for result in found.values():
            if ERROR in result:
                raise InputError(result[ERROR], "study scaling")
        return {one: found[task.key] for one, task in tasks.items()}

    def _task(self, what: Simulated) -> Task:
        return Task("configuration", self.trace, self.digest, what.images, self.settings, what, detail=str(what))
