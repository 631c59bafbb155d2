"""`h2learn cosim TRACE --lockstep`: the simulated step with units as hardware inside, clock by clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlm.cli.console import output_console

if TYPE_CHECKING:
    from tlm.cosim import LockstepResult

RESULT_FILE = "lockstep.json"


def run_lockstep(
    trace: str,
    config_name: str | None,
    overrides: tuple[str, ...],
    window_tiles: int | None,
    out: Path | None,
    verilog: dict[str, Path],
    as_json: bool,
) -> bool:
    """Run a trace in lock-step, print the outcome, and return whether nothing differs; `None` tiles: the default."""
    from tlm.cosim import config_for_trace, lockstep
    from tlm.cosim.locked.run import WINDOW_TILES
    from workloads.atomic import check_writable, replacing
    from workloads.trace_file import open_trace

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        check_writable(out / RESULT_FILE)
    with open_trace(trace) as opened:
        config = config_for_trace(opened.arithmetic, config_name, overrides)
    tiles = WINDOW_TILES if window_tiles is None else window_tiles
    result = lockstep(trace, config, tiles, verilog=verilog)
    text = json.dumps(result.to_dict(), indent=2)
    if out is not None:
        with replacing(out / RESULT_FILE) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if as_json:
        click.echo(text)
    else:
        print_lockstep(result)
    return result.passed


def print_lockstep(result: LockstepResult) -> None:
    """Print a result for a person: a table by unit, both times, and the first difference."""
    from rich.table import Table

    title = f"Lock-step of {result.network}, configuration {result.config}, window {result.window_tiles:,} tiles"
    table = Table(title=title, title_justify="left")
    table.add_column("unit")
    for name in ("tiles", "results", "wrong results", "cycles run"):
        table.add_column(name, justify="right")
    for part in result.parts:
        numbers = (part.tiles, part.results, part.wrong_results, part.cycles_run)
        table.add_row(part.unit, *(f"{number:,}" for number in numbers))
    output_console(markup=True).print(table)
    click.echo(f"time of the step: {result.time_ps:,} ps, without hardware {result.unlocked_time_ps:,} ps")
    click.echo(f"wall time: {result.seconds:.1f} s")
    if result.failure is not None:
        click.echo(f"MISMATCH in {result.failure}")
    if result.differing:
        click.echo(f"differs from the run without hardware: {', '.join(result.differing)}")
    if result.passed:
        click.echo("every result, transfer and time is the same as without hardware")
