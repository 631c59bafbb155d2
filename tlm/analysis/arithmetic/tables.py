"""What a comparison of number formats leaves: JSON for the whole, CSV by epoch, by step and by stored tensor."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tlm.analysis.arithmetic.runs import Result, Run
from workloads.atomic import replacing
from workloads.underflow import TENSORS

COMPARISON = "comparison.json"
EPOCHS, STEPS, UNDERFLOW = "epochs.csv", "steps.csv", "underflow.csv"
Content = dict[str, Any]
Row = dict[str, Any]
_NOT_ASKED = ("seed", "learner", "value-format", "sum-format", "capture", "capture-batch")


def write_tables(folder: Path, results: Sequence[tuple[Run, Result]], taken_over: int) -> Content:
    """Write all tables into `folder` and return the content of `comparison.json`."""
    first = results[0][0]
    content: Content = {
        "network": first.settings.network.name,
        "dataset": first.settings.dataset.name,
        "asked": {key: value for key, value in first.kept.items() if key not in _NOT_ASKED},
        "taken_over": taken_over,
        "formats": [_summary(label, results) for label in dict.fromkeys(run.label for run, _ in results)],
        "runs": [_run(run, result) for run, result in results],
    }
    content = {key: _finite(value) for key, value in content.items()}
    with replacing(folder / COMPARISON) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    _write_csv(folder / EPOCHS, _rows(content, "epochs"))
    _write_csv(folder / STEPS, _rows(content, "steps"))
    _write_csv(folder / UNDERFLOW, _rows(content, "underflow"))
    return content


def shares(rows: Iterable[Row]) -> dict[str, dict[int, float]]:
    """Return by tensor and step the share of values, over all `rows` of "underflow", that are subnormal or flushed.

    Tensors without any value at a step are left out there.
    """
    lost: dict[str, dict[int, list[int]]] = {tensor: {} for tensor in TENSORS}
    for row in rows:
        counts = lost[row["tensor"]].setdefault(row["step"], [0, 0])
        counts[0] += row["subnormal"] + row["flushed"]
        counts[1] += row["values"]
    return {
        tensor: {step: part / whole for step, (part, whole) in sorted(steps.items()) if whole}
        for tensor, steps in lost.items()
    }


def _run(run: Run, result: Result) -> Content:
    observed = result["observed"]
    return {
        "format": run.label,
        "seed": run.settings.seed,
        "skipped_steps": result["skipped_steps"],
        "seconds": result["seconds"],
        "epochs": result["history"],
        "steps": [{key: entry[key] for key in ("step", "loss", "skipped")} for entry in observed],
        "underflow": [{"step": entry["step"]} | row for entry in observed for row in entry["underflow"]],
    }


def _summary(label: str, results: Sequence[tuple[Run, Result]]) -> Content:
    """Means over the seeds of a format after the last epoch, and what its values lost at the last step looked at."""
    mine = [result for run, result in results if run.label == label]
    last = [result["history"][-1] for result in mine]
    accuracies = [epoch["held_out_accuracy"] for epoch in last]
    underflow = [{"step": e["step"]} | row for result in mine for e in result["observed"] for row in e["underflow"]]
    return {
        "format": label,
        "seeds": len(mine),
        "loss": statistics.fmean(epoch["loss"] for epoch in last),
        "held_out_accuracy": statistics.fmean(accuracies),
        "held_out_accuracy_low": min(accuracies),
        "held_out_accuracy_high": max(accuracies),
        "skipped_steps": sum(result["skipped_steps"] for result in mine),
        "underflow": {tensor: list(steps.values())[-1] for tensor, steps in shares(underflow).items() if steps},
    }


def _rows(content: Content, table: str) -> list[Row]:
    which = ("format", "seed")
    return [{key: run[key] for key in which} | row for run in content["runs"] for row in run[table]]


def _write_csv(path: Path, rows: list[Row]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _finite(value: Any) -> Any:
    """Return `value` with null in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
