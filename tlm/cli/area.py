"""`h2learn area`: transistors and area of a configuration by component, against a budget and against a V100."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich.table import Table

from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from tlm.analysis.area.chip_area import ChipArea
    from tlm.analysis.technology.range import Range


@click.command(
    epilog=examples(
        "h2learn area --config edge",
        "h2learn area --set forward_engine.rows=128 --budget 110",
    )
)
@config_option(default="h2learn")
@set_option
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MM2",
    help="Refuse a chip whose nominal area is larger.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def area(config: str, overrides: tuple[str, ...], budget: float | None, as_json: bool) -> None:
    """Show the area of a configuration at 28 nm: low, nominal and high, component by component.

    Logic is counted by synthesis, memories by their bits; docs/area.md says what is assumed and what is left out.
    """
    from tlm.analysis.area.chip_area import check_budget, chip_area
    from tlm.analysis.area.report import describe_area
    from tlm.config import load_config

    chosen = load_config(config, overrides)
    found = chip_area(chosen)
    if budget is not None:
        check_budget(found, budget, "--budget")
    described = describe_area(found, chosen)
    if as_json:
        click.echo(json.dumps(described, indent=2, allow_nan=False))
        return
    console = output_console(markup=True)
    console.print(_table(found))
    ratios = described["v100"]
    console.print(
        f"{chosen.name}{' (provisional)' if chosen.provisional else ''} at 28 nm: {_mm2(found.area_mm2)} mm2, "
        f"{found.transistors.nominal / 1e9:.2f} G transistors, {found.memory_bits / 2**23:.1f} MiB of memory"
    )
    console.print(
        f"a V100 (12 nm) has {_spread(ratios['area_ratio'])} times the area "
        f"and {_spread(ratios['transistor_ratio'])} times the transistors"
    )


def _table(found: ChipArea) -> Table:
    from tlm.analysis.area.chip_area import GROUPS

    table = Table("component", box=None, pad_edge=False)
    for heading in ("count", "M transistors", "Mbit", "mm2", "low", "high"):
        table.add_column(heading, justify="right")
    for group in GROUPS:
        for part in (part for part in found.components if part.group == group):
            table.add_row(
                f"{group}: {part.name}",
                f"{part.count:,}",
                f"{part.transistors.nominal / 1e6:,.1f}",
                f"{part.bits / 1e6:,.2f}" if part.bits else "",
                *_three(part.area_mm2),
            )
    everything = f"{found.transistors.nominal / 1e6:,.1f}", f"{found.memory_bits / 1e6:,.2f}"
    table.add_row("all", "", *everything, *_three(found.area_mm2), style="bold")
    return table


def _three(area_mm2: Range) -> tuple[str, str, str]:
    return f"{area_mm2.nominal:.2f}", f"{area_mm2.low:.2f}", f"{area_mm2.high:.2f}"


def _mm2(area_mm2: Range) -> str:
    return f"{area_mm2.nominal:.1f} ({area_mm2.low:.1f} to {area_mm2.high:.1f})"


def _spread(ratio: dict[str, float]) -> str:
    return f"{ratio['nominal']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
