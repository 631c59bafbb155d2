"""`h2learn verify dram [CSV...]`: cycles of request traces against those of a cycle-level DRAM simulator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from tlm.cli.console import output_console
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from tlm.memory.verify import RowVerdict

HEADINGS = ("standard", "configuration", "trace", "cycles here", "cycles there", "difference", "allowed", "verdict")
TEXTS = ("standard", "configuration", "trace", "verdict")


@click.command(
    epilog=examples(
        "h2learn verify dram                              # the results that come with h2learn",
        "h2learn verify dram base.csv variants.csv --json",
    )
)
@click.argument("files", nargs=-1, metavar="[CSV]...", type=click.Path(path_type=Path))
@click.option(
    "--traces",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Take each row's trace from DIR/STANDARD.TRACE.txt.gz instead of making it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def dram(ctx: click.Context, files: tuple[Path, ...], folder: Path | None, as_json: bool) -> None:
    """Compare the cycles of request traces with those of a cycle-level DRAM simulator.

    CSV has the columns of the reference's results [default: the results that come with h2learn]. Exit code 1 if a row
    is further off than allowed.
    """
    from tlm.memory.verify import SHIPPED, read_reference, verify_rows

    rows = [row for file in files or SHIPPED for row in read_reference(file)]
    verdicts = list(verify_rows(rows, folder))
    if as_json:
        click.echo(json.dumps([describe(verdict) for verdict in verdicts], indent=2))
    else:
        _print(verdicts)
    if not all(verdict.good for verdict in verdicts):
        ctx.exit(1)


def describe(verdict: RowVerdict) -> dict[str, Any]:
    """Return what `--json` prints of one row; the reference's cycles are called `reference_cycles`."""
    described = asdict(verdict.row)
    reference_cycles = described.pop("cycles")
    return described | {
        "reference_cycles": reference_cycles,
        "cycles": verdict.cycles,
        "difference_percent": round(verdict.difference_percent, 4),
        "allowed_percent": verdict.allowed_percent,
        "good": verdict.good,
    }


def _print(verdicts: Sequence[RowVerdict]) -> None:
    console = output_console()
    table = Table(title="cycles of DRAM request traces, here against the reference simulator")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in TEXTS else "right", overflow="fold")
    for verdict in verdicts:
        table.add_row(*_cells(verdict))
    console.print(table)
    for verdict in verdicts:
        if not verdict.good:
            click.echo(f"{verdict.row.where}: OUTSIDE, {', '.join(_cells(verdict)[:-1])}")
    click.echo(_summary(verdicts))


def _cells(verdict: RowVerdict) -> tuple[str, ...]:
    row = verdict.row
    numbers = (f"{verdict.cycles:,.10g}", f"{row.cycles:,.10g}", f"{verdict.difference_percent:+.3f} %")
    allowed = f"{verdict.allowed_percent:.3g} %"
    return (row.standard, row.config, row.trace, *numbers, allowed, "good" if verdict.good else "OUTSIDE")


def _summary(verdicts: Sequence[RowVerdict]) -> str:
    good = sum(verdict.good for verdict in verdicts)
    equal = sum(verdict.cycles == verdict.row.cycles for verdict in verdicts)
    worst = max(verdicts, key=lambda verdict: abs(verdict.difference_percent))
    row = worst.row
    return (
        f"{good} of {len(verdicts)} rows within what is allowed, {equal} equal to the cycle; "
        f"largest difference {worst.difference_percent:+.3f} % ({row.standard} {row.config} {row.trace})"
    )
