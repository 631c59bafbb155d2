"""`h2learn compare-arithmetic`: the same network trained in several number formats, as a table, plots and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from tlm.cli.completion import complete_networks
from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.cli.job_options import out_option, workers_option
from tlm.cli.training_options import descent_options


@click.command(
    name="compare-arithmetic",
    epilog=examples(
        "h2learn compare-arithmetic",
        "h2learn compare-arithmetic digits-conv --formats float32,binary16,binary16/binary16 --seeds 0,1,2 --epochs 25",
        "h2learn compare-arithmetic digits-mlp --formats binary16 --scale-log2 0 --epochs 2 --out unscaled",
    ),
)
@click.argument("network", metavar="[NETWORK]", default="digits-conv", shell_complete=complete_networks)
@click.option(
    "--formats",
    default="float32,binary16,bfloat16",
    show_default=True,
    metavar="LIST",
    help="float32 (the baseline), or the machine's: VALUE or VALUE/SUM of binary16, bfloat16, binary32; sums are "
    "binary32 where none are named.",
)
@click.option("--seeds", default="0,1", show_default=True, metavar="LIST", help="A run of each format for each seed.")
@click.option("--epochs", type=int, help="Passes over the training images.  [default: 10]")
@click.option("--steps", type=int, help="Steps, instead of epochs.")
@click.option(
    "--points", type=int, default=25, show_default=True, help="Steps of a run at which small values are counted."
)
@click.option("--batch", type=int, default=32, show_default=True, help="Images a step.")
@descent_options
@click.option("--dataset", "dataset_name", metavar="NAME", help="As of `h2learn train`.  [default: by the input]")
@click.option("--data", metavar="DIR", help="Folder with the files of a data set that is read from files.")
@click.option("--evaluated", type=int, metavar="N", help="Held-out images to measure accuracy on.  [default: all]")
@workers_option
@out_option("h2learn-arithmetic", "comparison.json, the tables as CSV, the plots")
@click.option("--json", "as_json", is_flag=True, help="Print the summary of each format as JSON.")
def compare_arithmetic(network: str, out: Path, as_json: bool, **options: Any) -> None:
    """Train NETWORK in float32 and in number formats of the machine, from the same weights and batches, and compare.

    Shows loss, held-out accuracy, skipped steps, and how much of what is stored is too small for its format. The same
    command goes on where an interrupted one was; docs/compare_arithmetic.md explains what comes out.
    """
    from tlm.analysis.arithmetic.study import ArithmeticStudy
    from tlm.analysis.arithmetic.study import compare_arithmetic as compare
    from tlm.cli.run import progress_bar

    with progress_bar() as report:
        content = compare(ArithmeticStudy(network, **options), out, report)
        from tlm.analysis.arithmetic.plots import write_plots

        plots = write_plots(out, content)
    if as_json:
        shown = {key: value for key, value in content.items() if key != "runs"} | {"out": str(out)}
        click.echo(json.dumps(shown, indent=2, allow_nan=False))
        return
    if content["taken_over"]:
        click.echo(f"{content['taken_over']} of {len(content['runs'])} runs are taken over from an earlier comparison")
    output_console(soft_wrap=True).print(_table(content))
    click.echo(f"results: {out}/comparison.json, *.csv, {', '.join(path.name for path in plots)}")


def _table(content: dict[str, Any]) -> Table:
    asked, first = content["asked"], content["formats"][0]
    title = f"{content['network']} on the {content['dataset']}, {asked['steps']:,} steps of {asked['batch']}"
    table = Table(title=f"{title}, loss scale 2^{asked['scale-log2']}", title_justify="left")
    table.add_column("format", no_wrap=True)
    for name in ("loss", "held out", "seeds", "points", "skipped", "small g16", "du", "W16", "tables"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in content["formats"]:
        low, high = row["held_out_accuracy_low"], row["held_out_accuracy_high"]
        small = row["underflow"]
        table.add_row(
            row["format"],
            _number(row["loss"], ".4f"),
            _number(row["held_out_accuracy"], ".2%"),
            "-" if low is None or high is None else f"{low:.1%} .. {high:.1%}",
            _points(row["held_out_accuracy"], first["held_out_accuracy"]),
            f"{row['skipped_steps']:,}",
            *(_number(small.get(tensor), ".2%") for tensor in ("g16", "du", "W16", "forward_tables")),
        )
    return table


def _number(value: float | None, words: str) -> str:
    return "-" if value is None else format(value, words)


def _points(value: float | None, first: float | None) -> str:
    """How far an accuracy is from the first format's, in points."""
    return "-" if value is None or first is None else f"{100 * (value - first):+.2f}"
