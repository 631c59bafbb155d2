"""`h2learn study scaling`: a training step on clusters of chips, as tables, a plot and one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tlm.cli.completion import complete_networks
from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.cli.job_options import out_option, workers_option

_TITLES = {
    "strong": "strong scaling, batch {batch_images:,} in all",
    "weak": "weak scaling, batch {chip_images:,} a chip",
}


@click.command(
    epilog=examples(
        "h2learn study scaling digits-conv",
        "h2learn study scaling step.h5 --chips 1,8,64 --topology ring --link-gb-per-s 100 --full 8",
    )
)
@click.argument("target", metavar="[NETWORK|TRACE]", default="digits-conv", shell_complete=complete_networks)
@click.option("--chips", metavar="LIST", help="Numbers of chips.  [default: 1,2,4,... to 4096]")
@click.option("--topology", metavar="LIST", help="What joins the chips: ring, tree.  [default: ring,tree]")
@click.option(
    "--link-gb-per-s",
    type=float,
    default=25.0,
    show_default=True,
    metavar="X",
    help="Bandwidth of a link, each way (25: one NVLink 2).",
)
@click.option(
    "--link-latency-us",
    type=float,
    default=1.0,
    show_default=True,
    metavar="Y",
    help="From the last byte sent to the last byte there.",
)
@click.option(
    "--scaling", metavar="LIST", help="strong (--batch is kept), weak (--batch-per-chip is).  [default: both]"
)
@click.option("--batch", type=int, metavar="N", help="Images a step of all chips.  [default: what --chips divide]")
@click.option("--batch-per-chip", type=int, metavar="N", help="Images a step of one chip.  [default: the trace's]")
@click.option("--full", metavar="LIST", help="Numbers of chips to simulate in full too: every chip, every message.")
@click.option("--images", type=int, metavar="N", help="Images to capture of a NETWORK.  [default: two micro-batches]")
@click.option("--steps", type=int, default=1, show_default=True, help="Of training; the last one is simulated.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training.")
@config_option()
@set_option
@workers_option
@out_option("h2learn-scaling", "scaling.json, scaling.png")
@click.option("--json", "as_json", is_flag=True, help="Print scaling.json instead of the tables.")
def scaling(target: str, out: Path, as_json: bool, **options: Any) -> None:
    """Find how far data-parallel training of NETWORK scales over clusters of chips.

    Every chip trains on images of its own; the gradients are added up over the links, layer by layer, beside the
    backward pass. With a TRACE instead of a network, nothing is trained. The same trace with other links or numbers of
    chips in the same DIR simulates no chip twice. docs/scaling.md explains the model.
    """
    from tlm.analysis.cluster.study import SCALING, ScalingStudy, run_scaling
    from tlm.cli.run import progress_bar

    with progress_bar() as report:
        given = {name: value for name, value in options.items() if value is not None}
        content = run_scaling(ScalingStudy(target, **given), out, report)
        report("plot", 0, 1)
        from tlm.analysis.cluster.plots import write_plot

        plot = write_plot(out, content)
    if as_json:
        click.echo((out / SCALING).read_text(encoding="utf-8"), nl=False)
        return
    _print(content, output_console(soft_wrap=True))
    click.echo(f"results: {out / SCALING}, {plot.name}")


def _print(content: dict[str, Any], console: Console) -> None:
    """Print a table for each scaling, what was simulated in full and what was left out."""
    rows = content["rows"]
    for kind in dict.fromkeys(row["scaling"] for row in rows):
        console.print(_table([row for row in rows if row["scaling"] == kind], kind))
    for row in rows:
        if row["full_ps"] is not None:
            where = f"{row['scaling']}, {row['topology']}, chips: {row['chips']}"
            told, full = row["step_ps"] / 1e6, row["full_ps"] / 1e6
            console.print(f"simulated in full ({where}): {full:,.2f} us (told: {told:,.2f}, {told / full - 1:+.1%})")
    for note in content["notes"]:
        console.print(note)


def _table(rows: list[dict[str, Any]], kind: str) -> Table:
    table = Table(title=_TITLES[kind].format(**rows[0]), title_justify="left")
    topologies = list(dict.fromkeys(row["topology"] for row in rows))
    table.add_column("chips", justify="right", no_wrap=True)
    table.add_column("batch" if kind == "weak" else "a chip", justify="right", no_wrap=True)
    for topology in topologies:
        for name in (f"{topology} us", "speedup", "efficiency", "exposed"):
            table.add_column(name, justify="right", no_wrap=True)
    for chips in dict.fromkeys(row["chips"] for row in rows):
        mine = {row["topology"]: row for row in rows if row["chips"] == chips}
        images = mine[topologies[0]]["batch_images" if kind == "weak" else "chip_images"]
        cells = [f"{chips:,}", f"{images:,}"]
        for topology in topologies:
            row = mine[topology]
            cells += [f"{row['step_ps'] / 1e6:,.1f}", f"{row['speedup']:,.2f}", f"{row['efficiency']:.1%}"]
            cells.append(f"{row['exposed_ps'] / row['step_ps']:.1%}")
        table.add_row(*cells)
    return table
