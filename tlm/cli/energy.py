"""`h2learn energy`: simulates a trace's training step and shows what it took, by engine and component."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from tlm.analysis.energy.step_energy import StepEnergy
    from tlm.analysis.technology.range import Range

PJ_PER_UJ = 1e6


@click.command(
    epilog=examples(
        "h2learn energy h2learn-run/trace.h5",
        "h2learn energy h2learn-run/trace.h5 --set lut.skip_zero_tiles=true --json",
    )
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@config_option()
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def energy(trace: Path, config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Simulate the training step in TRACE and show its energy at 28 nm: low, nominal and high, line by line.

    Counts come from the simulation, costs from the table of constants; docs/energy.md says what is left out.
    """
    from tlm.analysis.energy.report import describe_energy
    from tlm.analysis.energy.step_energy import energy_of_trace
    from tlm.trace_config import config_for_trace
    from workloads.trace_file import open_trace

    with open_trace(trace) as opened:
        chosen = config_for_trace(opened.arithmetic, config, overrides)
        _, found = energy_of_trace(opened, chosen)
        batch = opened.batch
    if as_json:
        click.echo(json.dumps(describe_energy(found), indent=2, allow_nan=False))
        return
    console = output_console(markup=True)
    console.print(_table(found))
    console.print(
        f"{chosen.name} at 28 nm: {_spread(found.energy_pj, PJ_PER_UJ)} uJ a step of {batch} images "
        f"in {found.time_ps / 1e6:.1f} us, {_spread(found.power_w)} W"
    )
    console.print(
        f"{_spread(found.pj_per_operation)} pJ a synaptic operation, "
        f"{_spread(found.chip_pj / max(1, found.activity.synaptic_operations))} without DRAM"
    )


def _table(found: StepEnergy) -> Table:
    from tlm.analysis.energy.step_energy import GROUPS

    table = Table("component", box=None, pad_edge=False)
    for heading in ("count", "of", "pJ each", "uJ", "low", "high"):
        table.add_column(heading, justify="left" if heading == "of" else "right")
    for group in GROUPS:
        for line in (line for line in found.lines if line.group == group and line.count):
            table.add_row(
                f"{group}: {line.name}",
                f"{line.count:,}",
                line.unit,
                _short(line.each_pj.nominal),
                *_uj(line.energy_pj),
            )
        table.add_row(f"{group}", "", "", "", *_uj(found.group_pj(group)), style="bold")
    table.add_row("all", "", "", "", *_uj(found.energy_pj), style="bold")
    return table


def _uj(energy_pj: Range) -> tuple[str, str, str]:
    nominal, low, high = (f"{value / PJ_PER_UJ:,.3f}" for value in (energy_pj.nominal, energy_pj.low, energy_pj.high))
    return nominal, low, high


def _spread(found: Range, by: float = 1.0) -> str:
    nominal, low, high = (_short(value / by) for value in (found.nominal, found.low, found.high))
    return f"{nominal} ({low} to {high})"


def _short(value: float) -> str:
    """Return three digits, or all those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
