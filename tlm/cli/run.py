"""`h2learn run`: the main job, from training to pictures, with one readable summary."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tlm.cli.completion import complete_networks
from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.errors import COMPARISON_FAILED
from tlm.cli.examples import examples


@click.command(
    epilog=examples(
        "h2learn run                                      # digits-conv, from training to pictures",
        "h2learn run cifar-cnn --steps 20 --batch 8 --set dram.channels=4 --vcd",
        "h2learn run h2learn-run/trace.h5 --cosim none --out again",
    )
)
@click.argument("target", metavar="[NETWORK|TRACE]", default="digits-conv", shell_complete=complete_networks)
@config_option()
@set_option
@click.option(
    "--cosim",
    type=click.Choice(["none", "sample", "all"]),
    default="sample",
    show_default=True,
    help="Co-simulate no tiles, a seeded sample, or all tiles of the units that have RTL.",
)
@click.option(
    "--simulator",
    type=click.Choice(["auto", "verilator", "myhdl"]),
    default="auto",
    show_default=True,
    help="auto: Verilator for whole streams and MyHDL for windows of them.",
)
@click.option("--sample-seed", type=int, default=0, show_default=True, help="Picks the sample of tiles.")
@click.option("--epochs", type=int, default=1, show_default=True, help="Passes over the training images.")
@click.option("--steps", type=int, help="Steps, instead of epochs.")
@click.option("--batch", type=int, default=32, show_default=True, help="Images a step.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("h2learn-run"),
    show_default=True,
    metavar="DIR",
    help="Folder for result.json, timeline.json, the trace and the plots.",
)
@click.option("--vcd", is_flag=True, help="Write chip.vcd too, for GTKWave and its like (docs/timeline.md).")
@click.option("--json", "as_json", is_flag=True, help="Print result.json instead of the summary.")
@click.pass_context
def run(
    ctx: click.Context,
    target: str,
    config: str | None,
    overrides: tuple[str, ...],
    cosim: str,
    simulator: str,
    sample_seed: int,
    epochs: int,
    steps: int | None,
    batch: int,
    seed: int,
    out: Path,
    vcd: bool,
    as_json: bool,
) -> None:
    """Train NETWORK for a short while, capture the last step, simulate and co-simulate it, and show where time went.

    With a TRACE instead of a network, nothing is trained. DIR gets result.json (docs/result.md), timeline.json (opens
    in Perfetto), transactions.parquet and plots as PNG.
    """
    with progress_bar() as report:
        from tlm.job import Job, run_job

        job = Job(target, config, overrides, cosim, simulator, sample_seed, epochs, steps, batch, seed, vcd)
        content = run_job(job, out, shlex.join(["h2learn", *sys.argv[1:]]), report)
    if as_json:
        click.echo((out / "result.json").read_text(encoding="utf-8"), nl=False)
    else:
        from tlm.report.summary import print_summary

        print_summary(content, output_console(markup=True))
        waveform = "chip.vcd (open in GTKWave), " if vcd else ""
        click.echo(f"results: {out}/result.json, timeline.json (open in Perfetto), {waveform}*.png")
    if content["cosim"] and not content["cosim"]["passed"]:
        ctx.exit(COMPARISON_FAILED)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function (phase, done, in all) that shows progress on stderr, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, object] = {}

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total)
            bar.update(tasks[phase], completed=done, total=total)  # type: ignore[arg-type]  # a TaskID

        yield report
