"""`sweep.json`: what was asked, with what, and the front; small enough to be read by people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlm.report.result import versions
from tlm.sweep.spec import SweepSpec
from tlm.sweep.store import FORMAT, Row, config_keys

SUMMARY = "sweep.json"


def summarise(rows: Sequence[Row], spec: SweepSpec, command: str) -> dict[str, Any]:
    """Return the content of `sweep.json`; `command` is how the sweep was started."""
    good = [row for row in rows if row["error"] is None]
    errors: dict[str, list[int]] = {}
    for row in rows:
        if row["error"] is not None:
            errors.setdefault(row["error"], []).append(row["point"])
    front = sorted((row for row in good if row["on_front"]), key=lambda row: tuple(row[o] for o in spec.objectives))
    return {
        "schema": FORMAT,
        "complete": True,
        "name": spec.name,
        "spec": spec.to_dict(),
        "provenance": {**versions(), "command": command},
        "keys": list(spec.keys),
        "objectives": list(spec.objectives),
        "points": len(rows),
        "failed": len(rows) - len(good),
        "front": [_described(row, spec) for row in front],
        "errors": [{"error": error, "points": points} for error, points in errors.items()],
    }


def _described(row: Row, spec: SweepSpec) -> dict[str, Any]:
    return {
        "point": row["point"],
        "network": row["network"],
        "trace": row["trace"],
        "timesteps": row["timesteps"],
        "batch": row["batch"],
        "images": row["images"],
        "values": {key: row[key] for key in config_keys(spec)},
        "time_s": row["time_s"],
        "energy_j": {"low": row["energy_j_low"], "nominal": row["energy_j"], "high": row["energy_j_high"]},
        "area_mm2": {"low": row["area_mm2_low"], "nominal": row["area_mm2"], "high": row["area_mm2_high"]},
    }
