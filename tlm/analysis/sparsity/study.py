"""The study of sparsity: a real step, the same with its zeros spread at random, and what one number says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from tlm.analysis.area import chip_area as area_model
from tlm.analysis.simulations import ERROR, Measure, Measurement, Processes, Task, open_journal, simulate_all
from tlm.analysis.sparsity.designs import dense, list_designs
from tlm.analysis.sparsity.estimate import engine_energy, estimates
from tlm.analysis.sparsity.measure import REAL, Simulated, Structure
from tlm.analysis.sparsity.spread import LAYER, TIMESTEP
from tlm.analysis.sparsity.table import TABLE, write_table
from tlm.config import Config
from tlm.engines.streams import BACKWARD, FORWARD, UPDATE
from tlm.trace_config import config_for_trace
from workloads.atomic import replacing
from workloads.trace_file import open_trace

STUDY, JOURNAL = "sparsity.json", "sparsity.journal"
SPARSITIES = (REAL, TIMESTEP, LAYER)
_GROUPS = {FORWARD: area_model.FORWARD, BACKWARD: area_model.BACKWARD, UPDATE: area_model.UPDATE}

Report = Callable[[str, int, int], None]
"""Called with (phase, done, in all) as the study goes on."""


@dataclass(frozen=True)
class SparsityStudy:
    """What to study: a trace, or its first `images` images; `seed` spreads the non-zeros."""

    trace: Path
    images: int | None = None
    seed: int = 0
    config: str | None = None
    overrides: tuple[str, ...] = ()
    workers: int | None = None


def run_sparsity(study: SparsityStudy, out: Path, report: Report = lambda phase, done, total: None) -> dict[str, Any]:
    """Run `study`, write `sparsity.json` and `sparsity.csv` into the folder `out`; return the former's content.

    docs/sparsity_study.md tells its keys. Simulations are kept in a journal in `out`, and taken over by the next run
    of the same trace and configuration. Raises InputError for a user's mistake, and where a step cannot be simulated.
    """
    with open_trace(study.trace) as trace:
        images = trace.batch if study.images is None else study.images
        if not 1 <= images <= trace.batch:
            raise InputError("the trace has not so many images", "--images", images, f"1..{trace.batch}")
        config = config_for_trace(trace.arithmetic, study.config, study.overrides)
        about = {
            "network": trace.network.name,
            "dataset": trace.dataset,
            "step": trace.step,
            "training": None if trace.training is None else trace.training.words(trace.step),
            "trace_sha256": trace.digest,
            "images": images,
            "seed": study.seed,
            "layers": [layer.name for layer in trace.network.layers],
        }
    designs = list_designs(config)
    tasks = _Tasks(study, str(about["trace_sha256"]), images)
    structures = {one: tasks.add(config, Structure(one, study.seed)) for one in SPARSITIES}
    steps = {
        (name, one): tasks.add(design, Simulated(one, study.seed))
        for name, design in designs.items()
        for one in SPARSITIES
    }
    denses = {name: tasks.add(dense(design), Simulated()) for name, design in designs.items()}
    found = tasks.run(out, partial(report, "simulation"))
    structure = {one: found[key]["layers"] for one, key in structures.items()}
    content = about | {
        "config": config.model_dump(mode="json"),
        "structure": structure,
        "designs": [
            _design(
                name,
                designs[name],
                {one: found[steps[name, one]] for one in SPARSITIES},
                found[key],
                structure[REAL],
            )
            for name, key in denses.items()
        ],
    }
    with replacing(out / STUDY) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_table(content, out / TABLE)
    return content


def _design(
    name: str,
    config: Config,
    steps: dict[str, Measurement],
    without_skips: Measurement,
    structure: list[dict[str, Any]],
) -> dict[str, Any]:
    """Put together what was found for one design."""
    rows = estimates(config, without_skips, structure)
    return {
        "name": name,
        "steps": steps,
        "dense": without_skips,
        "estimates": rows,
        "estimated_energy_pj": engine_energy(without_skips, rows, _GROUPS),
    }


class _Tasks:
    """Simulations of one trace, gathered and then run at once."""

    def __init__(self, study: SparsityStudy, digest: str, images: int) -> None:
        self._study = study
        self._digest = digest
        self._images = images
        self._tasks: list[Task] = []

    def add(self, config: Config, measure: Measure) -> str:
        """Add a task and return its key."""
        settings = config.model_dump(mode="json")
        task = Task(config.name, self._study.trace, self._digest, self._images, settings, measure, detail=str(measure))
        self._tasks.append(task)
        return task.key

    def run(self, out: Path, report: Callable[[int, int], None]) -> dict[str, Measurement]:
        """Return what every task found; raises InputError where one of them failed."""
        with open_journal(out / JOURNAL, "the study") as journal, Processes(self._study.workers) as processes:
            found = simulate_all(self._tasks, journal, processes, report)
        for result in found.values():
            if ERROR in result:
                raise InputError(result[ERROR], "study sparsity")
        return found
