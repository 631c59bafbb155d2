"""Pictures of a comparison of number formats: loss and accuracy, and what stored values lost."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tlm.analysis.arithmetic.tables import Content, shares
from tlm.analysis.bandwidth.plots.style import COLOURS, GREY, bare
from workloads.atomic import replacing
from workloads.underflow import TENSORS

TRAINING, UNDERFLOW = "training.png", "underflow.png"
_LOSS_POINTS = 60  # windows that the steps of a run are averaged over
_LEAST_SHARE = 1e-6
"""Below it the axis of shares is linear, so that none at all can be seen."""
_STYLES = ("-", "--", "-.", ":")


def write_plots(folder: Path, content: Content) -> list[Path]:
    """Write the pictures of a comparison's content and return their paths; underflow only where it was counted."""
    figures = {TRAINING: training_figure(content)}
    if any(run["underflow"] for run in content["runs"]):
        figures[UNDERFLOW] = underflow_figure(content)
    for name, figure in figures.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=140)
    return [folder / name for name in figures]


def training_figure(content: Content) -> Figure:
    """Loss, how far it is from the first format's, held-out accuracy and skipped steps: means of the seeds, and ranges.

    Differences are those of runs from the same seed.
    """
    figure = Figure(figsize=(12.0, 8.0), layout="constrained")
    (loss, apart), (accuracy, skipped) = figure.subplots(2, 2)
    formats = _by_format(content)
    first_label, first_runs = next(iter(formats.items()))
    window = max(1, len(first_runs[0]["steps"]) // _LOSS_POINTS)
    baseline = [_smoothed(run, window) for run in first_runs]
    for number, (label, runs) in enumerate(formats.items()):
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linestyle": _STYLES[number % len(_STYLES)]}
        losses = [_smoothed(run, window) for run in runs]
        _band(loss, losses, style, label)
        _band(apart, [_less(mine, first) for mine, first in zip(losses, baseline, strict=True)], style, label)
        _band(accuracy, [_held_out(run) for run in runs], style | {"marker": "o", "markersize": 3}, label)
        _band(skipped, [_skipped(run) for run in runs], style, label)
    of_steps = f"mean of {window} steps" if window > 1 else "of each step"
    loss.set(xlabel="step", ylabel=f"loss, {of_steps}")
    apart.set(xlabel="step", ylabel=f"loss less that of {first_label}")
    accuracy.set(xlabel="epoch", ylabel="held-out accuracy", xlim=(0, 1 + len(first_runs[0]["epochs"])))
    accuracy.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
    most = max(1.0, skipped.get_ylim()[1])
    skipped.set(xlabel="step", ylabel="steps skipped so far", ylim=(-0.03 * most, most))
    skipped.yaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss, apart, accuracy, skipped):
        bare(axes)
    seeds = len(first_runs)
    title = _title(content)
    figure.suptitle(f"{title}: means of {seeds} seeds, shaded their range" if seeds > 1 else title, parse_math=False)
    handles, labels = loss.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def underflow_figure(content: Content) -> Figure:
    """A panel for each format of the machine: share of each tensor's values that are subnormal or flushed to zero."""
    formats = {label: runs for label, runs in _by_format(content).items() if any(run["underflow"] for run in runs)}
    figure = Figure(figsize=(1.5 + 5.5 * len(formats), 5.0), layout="constrained")
    panels = figure.subplots(1, len(formats), sharey=True, squeeze=False)[0]
    for axes, (label, runs) in zip(panels, formats.items(), strict=True):
        for number, (tensor, steps) in enumerate(shares(row for run in runs for row in run["underflow"]).items()):
            style = _STYLES[number % len(_STYLES)]
            colour = COLOURS[number % len(COLOURS)]
            name = tensor.replace("_", " ")
            axes.plot(list(steps), list(steps.values()), color=colour, linestyle=style, linewidth=1.6, label=name)
        axes.set_yscale("symlog", linthresh=_LEAST_SHARE)
        axes.set_ylim(-_LEAST_SHARE / 10, 1.0)
        axes.set_yticks([0.0, *(10.0**exponent for exponent in range(-6, 1))])
        axes.yaxis.set_major_formatter(FuncFormatter(_share_words))
        axes.set_title(label, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(axis="y", color=GREY, linewidth=0.3, alpha=0.5)
        bare(axes)
    panels[0].set_ylabel("share of values that are subnormal or flushed to zero")
    figure.suptitle(_title(content), parse_math=False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(TENSORS), frameon=False, fontsize=9)
    return figure


def _title(content: Content) -> str:
    return f"{content['network']} on the {content['dataset']}, loss scale 2^{content['asked']['scale-log2']}"


def _by_format(content: Content) -> dict[str, list[Content]]:
    labels = dict.fromkeys(run["format"] for run in content["runs"])
    return {label: [run for run in content["runs"] if run["format"] == label] for label in labels}


def _band(axes: Axes, series: list[dict[float, float]], style: dict[str, Any], label: str) -> None:
    """Draw the mean of several series over x, and the range between the least and the largest."""
    places = [x for x in series[0] if all(x in values for values in series)]
    columns = [[values[x] for values in series] for x in places]
    axes.plot(places, [statistics.fmean(column) for column in columns], linewidth=1.6, label=label, **style)
    if len(series) > 1:
        low, high = [min(column) for column in columns], [max(column) for column in columns]
        axes.fill_between(places, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _smoothed(run: Content, window: int) -> dict[float, float]:
    """Mean loss of every `window` steps, at the last of them; those with a loss that is no number are left out."""
    steps = run["steps"]
    parts = [steps[start : start + window] for start in range(0, len(steps), window)]
    losses = {part[-1]["step"]: [math.nan if e["loss"] is None else e["loss"] for e in part] for part in parts}
    means = {step: statistics.fmean(values) for step, values in losses.items()}
    return {step: mean for step, mean in means.items() if math.isfinite(mean)}


def _less(mine: dict[float, float], first: dict[float, float]) -> dict[float, float]:
    return {step: loss - first[step] for step, loss in mine.items() if step in first}


def _held_out(run: Content) -> dict[float, float]:
    epochs = run["epochs"]
    return {e["epoch"]: e["held_out_accuracy"] for e in epochs if e["held_out_accuracy"] is not None}


def _skipped(run: Content) -> dict[float, float]:
    total, found = 0, {}
    for entry in run["steps"]:
        total += entry["skipped"]
        found[entry["step"]] = total
    return {float(step): float(count) for step, count in found.items()}


def _share_words(value: float, _: object) -> str:
    return "none" if value == 0 else f"{value * 100:g} %"
