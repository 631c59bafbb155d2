"""Tables of the GPU baseline on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tlm.analysis.gpu.measured import StepError
from tlm.analysis.gpu.model import Estimate
from tlm.analysis.gpu.public import Comparison
from tlm.analysis.technology.range import Range
from tlm.cli.console import output_console

GIB = 2**30


def print_estimate(result: Estimate, console: Console | None = None) -> None:
    """Print one training step: by kind of kernel, then in all."""
    console = console or output_console(markup=True)
    network = result.network
    console.print(
        f"[bold]{escape(network.name)}[/] on [bold]{escape(result.device.name)}[/], {result.precision}: batch "
        f"{result.batch}, {network.timesteps} timesteps, neuron {network.neuron}"
    )
    table = Table(title="One training step, by kind of kernel", title_justify="left", pad_edge=False)
    for name in ("kernels", "launches", "GFLOP", "GB", "ms low", "nominal", "high", "share"):
        table.add_column(name, justify="left" if name == "kernels" else "right", no_wrap=True)
    for kind in result.kinds:
        share = kind.time_s.nominal / result.time_s.nominal
        numbers = (
            f"{kind.launches:,}",
            f"{kind.flop / 1e9:,.1f}",
            f"{kind.bytes / 1e9:,.2f}",
            *_three(kind.time_s, 1e3),
        )
        table.add_row(kind.kind, *numbers, f"{share:.1%}")
    console.print(table)
    console.print(_totals(result))
    held = result.memory_bytes.nominal / GIB
    if not result.fits:
        limit = result.device.memory_bytes / GIB
        console.print(f"[yellow]does not fit: {held:,.1f} GiB of {limit:,.0f} GiB; a smaller batch is needed[/]")


def _totals(result: Estimate) -> Table:
    table = Table(title="In all", title_justify="left")
    for name in ("", "low", "nominal", "high"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("time a step, ms", *_three(result.time_s, 1e3))
    table.add_row("time a sample, ms", *_three(result.time_s, 1e3 / result.batch))
    table.add_row("energy a step, J", *_three(result.energy_j, 1.0))
    table.add_row("energy a sample, mJ", *_three(result.energy_j, 1e3 / result.batch))
    table.add_row("memory, GiB", *_three(result.memory_bytes, 1 / GIB))
    return table


def print_errors(errors: Sequence[StepError], console: Console | None = None) -> None:
    """Print the model's error on measured steps."""
    table = Table(title="Measured steps (no constant was fitted to them, except power)", title_justify="left")
    for name in ("network", "batch", "measured ms", "model ms", "error", "measured GiB", "model GiB"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for error in errors:
        measured, result = error.measured, error.result
        times = (f"{measured.median_s * 1e3:,.2f}", f"{result.time_s.nominal * 1e3:,.2f}", f"{error.time_error:+.0%}")
        memory = (f"{measured.peak_memory_bytes / GIB:,.2f}", f"{result.memory_bytes.low / GIB:,.2f}")
        table.add_row(f"{measured.network.name} ({measured.network.neuron})", str(measured.batch), *times, *memory)
    (console or output_console(markup=True)).print(table)


def print_comparisons(comparisons: Sequence[Comparison], console: Console | None = None) -> None:
    """Print the model against public measurements."""
    console = console or output_console(markup=True)
    table = Table(title="The model against public measurements, seconds", title_justify="left", pad_edge=False)
    for name in ("report", "measured", "low", "nominal", "high", "error", "in range"):
        table.add_column(name, justify="left" if name in ("report", "in range") else "right", no_wrap=True)
    for comparison in comparisons:
        verdict = "fitted" if comparison.calibration else ("yes" if comparison.within else "no")
        times = _three(comparison.model_s, 1.0, _significant)
        error = f"{comparison.error:+.0%}"
        table.add_row(comparison.key, _significant(comparison.measured_s), *times, error, verdict)
    console.print(table)
    for comparison in comparisons:
        console.print(f"{comparison.key}: {escape(comparison.source)}; assumed: {escape(comparison.assumed)}")


def _three(values: Range, factor: float, written: Callable[[float], str] | None = None) -> list[str]:
    written = written or (lambda value: f"{value:,.2f}")
    return [written(value * factor) for value in values.to_dict().values()]


def _significant(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
