"""`h2learn train --stages`: one training run, a trace at each of its stages, and a table of how sparse they are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from rtl_models.errors import InputError
from tlm.cli.train import held_out_words
from workloads.checkpoint import Progress
from workloads.stages import capture_stages, read_progress, stage_figures
from workloads.training_settings import TrainingSettings

_SHARES = ("firing_rate", "active_masks", "nonzero_gradients", "zero_index_groups")


def train_stages(
    settings: TrainingSettings, folder: Path, percents: str, report: Callable[[Progress], None]
) -> dict[str, Any]:
    """Capture the stages and return what `--json` prints; numbers that are not finite become null."""
    stages = capture_stages(settings, folder, _percents(percents), report)
    progress = read_progress(settings, folder)
    run, history = settings.training_run, progress.history if progress is not None else ()
    described = []
    for stage in stages:
        figures = stage_figures(stage)
        layers = [
            {"name": layer.name} | asdict(sparsity)
            for layer, sparsity in zip(settings.network.layers, figures.layers, strict=True)
        ]
        described.append(
            {
                "percent": stage.percent,
                "step": stage.step,
                "epochs_before": run.epochs_before(stage.step),
                "loss": figures.loss if math.isfinite(figures.loss) else None,
                "skipped": figures.skipped,
                "reused": stage.reused,
                "trace": str(stage.path),
                "layers": layers,
            }
        )
    held_out = history[-1].held_out_accuracy if history else math.nan
    return {
        "network": settings.network.name,
        "dataset": settings.dataset.name,
        "data": run.data,
        "steps": run.steps,
        "batch": run.batch,
        "capture_batch": settings.captured_images,
        "learning_rate": run.learning_rate,
        "epochs_trained": run.epochs,
        "briefly_trained": run.brief,
        "held_out_accuracy": held_out if math.isfinite(held_out) else None,
        "held_out_images": settings.evaluated_images,
        "stages": described,
    }


def show_stages(summary: dict[str, Any], as_json: bool) -> None:
    """Print the summary as JSON, or as a few lines and a table by stage and layer."""
    if as_json:
        click.echo(json.dumps(summary, indent=2, allow_nan=False))
        return
    brief = ": briefly trained" if summary["briefly_trained"] else ""
    rows = {
        "network": f"{summary['network']}, trained on the {summary['dataset']}",
        "data": summary["data"],
        "steps": f"{summary['steps']} of batch {summary['batch']} ({summary['epochs_trained']:.2g} epochs{brief})",
        "captured": f"{summary['capture_batch']} images of each step",
        "learning rate": f"{summary['learning_rate']:g} at the start of a cosine",
        "held-out accuracy": held_out_words(summary),
    }
    for name, value in rows.items():
        click.echo(f"{name:<21} {value}")
    for stage in summary["stages"]:
        again = ", used again" if stage["reused"] else ""
        name = f"trace at {stage['percent']} %"
        click.echo(f"{name:<21} {stage['trace']}, step {stage['step']}{again}")
    Console(highlight=False, markup=False, soft_wrap=True).print(_table(summary["stages"]))


def _table(stages: list[dict[str, Any]]) -> Table:
    table = Table(title="sparsity by stage and layer")
    for name in ("stage", "step", "loss", "layer"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for name in _SHARES:
        table.add_column(name.replace("_", " "), justify="right", overflow="fold")
    for stage in stages:
        loss = "not finite" if stage["loss"] is None else f"{stage['loss']:.4f}"
        first = (f"{stage['percent']} %", str(stage["step"]), loss)
        for number, layer in enumerate(stage["layers"]):
            shares = ("-" if layer[name] is None else f"{layer[name]:.1%}" for name in _SHARES)
            table.add_row(*(first if number == 0 else ("", "", "")), layer["name"], *shares)
        table.add_section()
    return table


def _percents(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError("wrong value", "stages", text, "whole percentages with commas, such as 0,10,50,100") from error
