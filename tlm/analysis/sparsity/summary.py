"""The study in short: for each design the step, and each engine's busy cycles under each account of sparsity."""

from __future__ import annotations

from typing import Any

from tlm.analysis.sparsity.measure import ENGINES
from tlm.analysis.sparsity.table import rows_of

REAL_CYCLES = "real_cycles"
ACCOUNTS = ("spread_by_timestep_cycles", "spread_by_layer_cycles", "scaled_cycles", "ideal_cycles")


def summarise(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each design: cycles of the step, real and spread; by engine cycles of every account and energy."""
    rows = list(rows_of(content))
    return [
        {
            "design": design["name"],
            "step_cycles": {one: step["step_cycles"] for one, step in design["steps"].items()},
            "dram_bytes": {one: sum(step["dram_bytes"].values()) for one, step in design["steps"].items()},
            "energy_pj": {one: sum(step["energy_pj"].values()) for one, step in design["steps"].items()},
            "engines": [
                {"engine": engine}
                | {
                    name: sum(r[name] for r in rows if (r["design"], r["engine"]) == (design["name"], engine))
                    for name in (REAL_CYCLES, *ACCOUNTS)
                }
                for engine in ENGINES
            ],
        }
        for design in content["designs"]
    ]
