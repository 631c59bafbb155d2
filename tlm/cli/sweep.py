"""`h2learn sweep`: a file of what-ifs, simulated point by point into one columnar store."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.cli.job_options import out_option

if TYPE_CHECKING:
    from tlm.analysis.simulations import Runner

SHOWN_POINTS = 20


@click.command(
    epilog=examples(
        "h2learn sweep channels.yaml --workers 2 --out channels",
        "h2learn sweep channels.yaml --scheduler tcp://host:8786 --on-lost local",
    )
)
@click.argument("spec", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@click.option("--workers", type=int, metavar="N", help="Processes of this machine.  [default: one a processor]")
@click.option("--scheduler", metavar="ADDRESS", help="Simulate on the Dask cluster of this scheduler instead.")
@click.option(
    "--on-lost",
    type=click.Choice(["wait", "local"]),
    default="wait",
    show_default=True,
    help="When the cluster goes away: wait for it, or go on in processes of this machine.",
)
@out_option("h2learn-sweep", "sweep.parquet, sweep.json")
@click.option("--json", "as_json", is_flag=True, help="Print sweep.json instead of the table.")
def sweep(spec: Path, workers: int | None, scheduler: str | None, on_lost: str, out: Path, as_json: bool) -> None:
    """Simulate every point of the grid, list or search in SPEC.yaml, over any key of a configuration and any workload.

    A small spec:

    \b
        workload: {network: digits-conv}
        grid:
          dram.channels: [2, 4, 8]
          backward_engine.units: [128, 256]

    A point that cannot be simulated is recorded with its error. The same command goes on where an interrupted one was,
    and repeats nothing. docs/sweep.md describes every key of the spec and every column of sweep.parquet.
    """
    from tlm.analysis.simulations import Processes
    from tlm.cli.run import progress_bar
    from tlm.sweep.spec import load_spec
    from tlm.sweep.sweep import run_sweep

    asked = load_spec(spec)
    with progress_bar() as report, Processes(workers) as processes, ExitStack() as stack:
        runner: Runner = processes
        if scheduler is not None:
            from tlm.sweep.cluster import Cluster

            runner = stack.enter_context(Cluster(scheduler, on_lost, processes, _say))
        result = run_sweep(asked, out, runner, shlex.join(["h2learn", *sys.argv[1:]]), report)
    if as_json:
        click.echo(json.dumps(result.summary, indent=2, allow_nan=False))
        return
    if result.taken_over:
        click.echo(f"{result.taken_over} of {len(result.rows)} points are taken over from an earlier run")
    _print(result.summary)
    click.echo(f"results: {out}/sweep.parquet, sweep.json")


def _say(line: str) -> None:
    click.echo(f"h2learn: {line}", err=True)


def _print(summary: dict[str, Any]) -> None:
    console = output_console()
    front = summary["front"]
    console.print(_table(f"Front of {', '.join(summary['objectives'])}", front[:SHOWN_POINTS]))
    if len(front) > SHOWN_POINTS:
        click.echo(f"and {len(front) - SHOWN_POINTS} more in sweep.json")
    click.echo(f"{summary['points']} points, {len(front)} on the front, {summary['failed']} failed")
    for entry in summary["errors"]:
        click.echo(f"  {len(entry['points'])}: {entry['error']}")


def _table(title: str, points: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("point", justify="right")
    workloads = [(point["network"], point["timesteps"], point["batch"]) for point in points]
    several = len(set(workloads)) > 1
    if several:
        table.add_column("workload")
    keys = list(points[0]["values"])
    for name in ("us", "uJ", "mm2", *keys):
        table.add_column(name, justify="right")
    for point, (network, timesteps, batch) in zip(points, workloads, strict=True):
        table.add_row(
            str(point["point"]),
            *([f"{network}, T {timesteps}, batch {batch}"] if several else []),
            f"{point['time_s'] * 1e6:,.1f}",
            f"{point['energy_j']['nominal'] * 1e6:,.1f}",
            f"{point['area_mm2']['nominal']:.1f}",
            *("" if point["values"][key] is None else str(point["values"][key]) for key in keys),
        )
    return table
