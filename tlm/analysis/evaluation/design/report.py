"""Writes a search into a folder: JSON, the best machine as a configuration, a plot of area against time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

from tlm.config import check_config, dump_config
from tlm.report.plots import BLOCKED, BUSY
from tlm.report.result import write_json
from workloads.atomic import replacing

JSON, BEST, PLOT = "search.json", "best.yaml", "search.png"


def write_search(folder: Path, content: dict[str, Any]) -> list[str]:
    """Write everything and return the files' names."""
    with replacing(folder / PLOT) as temporary:
        search_figure(content).savefig(temporary, format="png", dpi=140)
    best = check_config(content["best"]["config"] | {"name": "best"}, "search")
    with replacing(folder / BEST) as temporary:
        temporary.write_text(dump_config(best), encoding="utf-8")
    write_json(content, folder / JSON)
    return [JSON, BEST, PLOT]


def search_figure(content: dict[str, Any]) -> Figure:
    """Area against time of every simulated machine, the front as a line, and the start."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    good = [point for point in content["points"] if point["error"] is None]
    for points, style, label in (
        (good, {"marker": "o", "ls": "", "color": "#999999"}, "simulated"),
        (content["front"], {"marker": "o", "ls": "-", "color": BUSY}, "front"),
        ([content["start"]], {"marker": "D", "ls": "", "color": BLOCKED[0], "ms": 8}, "start"),
    ):
        areas = [point["area_mm2"]["nominal"] for point in points]
        axes.plot(areas, [point["time_s"] * 1e6 for point in points], label=label, **style)
    axes.axvline(content["budget_mm2"], color="black", linewidth=0.8, linestyle=":", label="budget")
    axes.set_xlabel("area in mm2 at 28 nm (nominal)")
    axes.set_ylabel("time of the steps in us")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
