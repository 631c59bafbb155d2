"""`h2learn search`: the fastest machine within an area, and the front of area and time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.cli.job_options import out_option, workers_option

SHOWN_POINTS = 8


@click.command(
    epilog=examples(
        "h2learn search --trace early.h5 --trace late.h5 --budget-mm2 60",
        "h2learn search --trace step.h5 --vary dram.channels=4,8,16 --simulations 20",
    )
)
@click.option(
    "--trace",
    "traces",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    required=True,
    help="Trace whose step is simulated; may be given often, their times are added up.",
)
@click.option(
    "--budget-mm2",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MM2",
    default=110.4,
    show_default=True,
    help="Nominal area of the chip at most.",
)
@click.option(
    "--vary", metavar="KEY=V1,V2", multiple=True, help="Replace or add a key of the grid; may be given often."
)
@click.option("--images", type=int, help="First images of each trace.  [default: all]")
@click.option("--simulations", type=int, default=40, show_default=True, help="Machines to simulate at most.")
@config_option()
@set_option
@workers_option
@out_option("h2learn-search", "search.json, best.yaml, the plot")
@click.option("--json", "as_json", is_flag=True, help="Print search.json instead of the tables.")
def search(out: Path, as_json: bool, **options: Any) -> None:
    """Search rows, arrays, backward units, buffers and DRAM channels for the fastest machine within an area.

    Every machine of the grid is bounded by its cycle laws and bytes; only those that may be faster are simulated. The
    same command goes on where an interrupted one was; docs/design_point.md explains what comes out.
    """
    from tlm.analysis.evaluation.design.report import write_search
    from tlm.analysis.evaluation.design.search import SearchOptions, run_search
    from tlm.cli.run import progress_bar

    with progress_bar() as report:
        content = run_search(SearchOptions(**options), out, report)
        files = write_search(out, content)
    if as_json:
        click.echo(json.dumps(content, indent=2, allow_nan=False))
        return
    _print(content)
    click.echo(f"results: {out}/{', '.join(files)}")


def _print(content: dict[str, Any]) -> None:
    console = output_console()
    console.print(_table("Fastest machines", content["points"][:SHOWN_POINTS], content["start"]))
    console.print(_table("Front of area and time", content["front"], content["start"]))
    proof = "no machine of the grid is faster" if content["proved"] else "faster ones may be left: --simulations"
    click.echo(
        f"{content['machines']:,} machines, {content['within_budget']:,} within {content['budget_mm2']:g} mm2 and "
        f"able to hold the network; {len(content['points'])} simulated; {proof}"
    )


def _table(title: str, points: list[dict[str, Any]], start: dict[str, Any]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    keys = list(points[0]["changes"] or points[-1]["changes"])
    for name in ("mm2", "us", "bound us", "times faster", "uJ"):
        table.add_column(name, justify="right")
    for key in keys:
        table.add_column(key.replace("_engine", "").replace("weight_update", "update"), justify="right")
    for point in [start, *(point for point in points if point["changes"])]:
        if point["error"] is not None:
            continue
        table.add_row(
            f"{point['area_mm2']['nominal']:.1f}",
            f"{point['time_s'] * 1e6:,.1f}",
            f"{point['least_s'] * 1e6:,.1f}",
            f"{point['times_faster']:.2f}",
            f"{point['energy_j']['nominal'] * 1e6:,.0f}",
            *(str(point["changes"].get(key, "start")) for key in keys),
        )
    return table
