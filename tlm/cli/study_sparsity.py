"""`h2learn study sparsity TRACE`: what one number for sparsity gets wrong against a real trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.cli.job_options import out_option, workers_option


@click.command(
    epilog=examples(
        "h2learn study sparsity step.h5",
        "h2learn study sparsity step.h5 --images 2 --config edge --out sparsity",
    )
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--images", type=int, metavar="N", help="Only the first N images of the step.  [default: all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order in which zeros are spread.")
@config_option()
@set_option
@workers_option
@out_option("h2learn-sparsity", "sparsity.json, sparsity.csv, the plots")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def sparsity(trace: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Find what models that know sparsity as one number get wrong about the training step in TRACE.

    The step is simulated as it is, with its zeros spread at random, and dense, on three machines: with tables, with
    tables whose zero tiles are skipped, with zero-skipping adders. Beside stands dense work times density.
    docs/sparsity_study.md explains what comes out.
    """
    from tlm.analysis.sparsity.study import STUDY, SparsityStudy, run_sparsity
    from tlm.analysis.sparsity.summary import summarise
    from tlm.analysis.sparsity.table import TABLE
    from tlm.cli.run import progress_bar

    with progress_bar() as report:
        content = run_sparsity(SparsityStudy(trace, **options), out, report)
        report("plots", 0, 1)
        from tlm.analysis.sparsity.plots import write_plots

        plots = write_plots(out, content)
    summary = summarise(content)
    if as_json:
        click.echo(json.dumps(summary, indent=2, allow_nan=False))
        return
    console = output_console(soft_wrap=True)
    for design in summary:
        console.print(_table(design))
    click.echo(f"results: {out}/{STUDY}, {TABLE}, {', '.join(path.name for path in plots)}")


def _table(design: dict[str, Any]) -> Table:
    table = Table(title=f"{design['design']}: busy cycles", title_justify="left")
    table.add_column("engine", no_wrap=True)
    for name in ("real", "spread by timestep", "spread by layer", "dense x density", "operations x density"):
        table.add_column(name, justify="right")
    for engine in design["engines"]:
        name, real, *told = engine.values()
        shown = (f"{value:,.0f} ({value / real - 1:+.0%})" if real else f"{value:,.0f}" for value in told)
        table.add_row(name.replace("_", " "), f"{real:,}", *shown)
    steps = design["step_cycles"]
    changes = (f"{steps[one]:,} ({steps[one] / steps['real'] - 1:+.0%})" for one in ("timestep", "layer"))
    table.add_row("whole step", f"{steps['real']:,}", *changes)
    return table
