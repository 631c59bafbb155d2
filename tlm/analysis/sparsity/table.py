"""The study as a table: a row for each design, engine and layer, the real cycles beside all that stands for them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workloads.atomic import replacing

TABLE = "sparsity.csv"
COLUMNS = (
    "design",
    "engine",
    "layer",
    "name",
    "density",
    "real_cycles",
    "spread_by_timestep_cycles",
    "spread_by_layer_cycles",
    "scaled_cycles",
    "ideal_cycles",
    "real_utilisation",
    "spread_by_timestep_utilisation",
    "spread_by_layer_utilisation",
)
_SPREAD = {"real": "real", "timestep": "spread_by_timestep", "layer": "spread_by_layer"}

Row = dict[str, Any]


def rows_of(content: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of a study's content (`tlm.analysis.sparsity.study.run_sparsity`)."""
    for design in content["designs"]:
        steps = {
            one: {(entry["engine"], entry["layer"]): entry for entry in step["layers"]}
            for one, step in design["steps"].items()
        }
        for told in design["estimates"]:
            key = told["engine"], told["layer"]
            row: Row = {"design": design["name"], "name": content["layers"][told["layer"]]} | told
            for one, prefix in _SPREAD.items():
                row[f"{prefix}_cycles"] = steps[one][key]["busy_cycles"]
                row[f"{prefix}_utilisation"] = steps[one][key]["utilisation"]
            yield row


def write_table(content: dict[str, Any], path: Path) -> None:
    """Write the rows of a study's content as CSV."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_of(content))
