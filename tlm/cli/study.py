"""`h2learn study`: many simulations of one training step, as a table, plots and one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from tlm.cli.completion import complete_networks
from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.examples import examples
from tlm.cli.job_options import out_option, workers_option
from tlm.cli.study_scaling import scaling
from tlm.cli.study_sparsity import sparsity

if TYPE_CHECKING:
    from tlm.analysis.bandwidth.study import StudyResult


@click.group()
def study() -> None:
    """Simulate one training step many times over, and show what decides its time."""


study.add_command(scaling)
study.add_command(sparsity)


@study.command(
    epilog=examples(
        "h2learn study bandwidth digits-conv",
        "h2learn study bandwidth step.h5 --dram HBM2x2,LPDDR5x4,64GB/s --buffers 0.5,1",
    )
)
@click.argument("target", metavar="[NETWORK|TRACE]", default="digits-conv", shell_complete=complete_networks)
@click.option(
    "--dram",
    metavar="LIST",
    help="DRAMs: STANDARDxCHANNELS or a bandwidth, e.g. HBM2x2,LPDDR5x4,64GB/s.  [default: 1,2,3,4,6,8,12,16 channels "
    "of the configured one]",
)
@click.option("--buffers", metavar="LIST", help="Factors of the buffers' sizes.  [default: 0.25,0.5,1,2]")
@click.option(
    "--potentials",
    metavar="LIST",
    help="What becomes of potentials: store, recompute.  [default: the configured one; both for buffers near x1]",
)
@click.option("--timesteps", metavar="LIST", help="Timesteps to train with.  [default: the network's]")
@click.option("--batch", metavar="LIST", help="Images a step.  [default: 32]")
@click.option("--steps", type=int, default=1, show_default=True, help="Of training; the last one is simulated.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training.")
@config_option()
@set_option
@workers_option
@out_option("h2learn-study", "study.parquet, the plots")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def bandwidth(target: str, out: Path, as_json: bool, **options: Any) -> None:
    """Find how much DRAM bandwidth and how much buffer the training of NETWORK needs, and which stream eats it.

    Every DRAM is simulated with every buffer size. With a TRACE instead of a network, nothing is trained. The same
    command goes on where an interrupted one was; docs/bandwidth_study.md explains what comes out.
    """
    from tlm.analysis.bandwidth.study import BandwidthStudy, run_study
    from tlm.analysis.bandwidth.summary import summarise
    from tlm.cli.run import progress_bar

    with progress_bar() as report:
        result = run_study(BandwidthStudy(target, **options), out, report)
        report("plots", 0, 1)
        from tlm.analysis.bandwidth.plots import write_plots

        plots = write_plots(out, result.rows, result.layers)
    summary = summarise(result.rows)
    if as_json:
        click.echo(json.dumps(summary | {"out": str(out), "taken_over": result.taken_over}, indent=2, allow_nan=False))
        return
    _print(result, summary)
    click.echo(f"results: {out}/study.parquet, {', '.join(path.name for path in plots)}")


def _print(result: StudyResult, summary: dict[str, Any]) -> None:
    console = output_console(soft_wrap=True)
    if result.taken_over:
        click.echo(f"{result.taken_over} of {len(result.rows)} points are taken over from an earlier study")
    for curve in summary["curves"]:
        if curve["points"]:
            console.print(_table(curve))
            click.echo(_knee(curve))
    if summary["failed"]:
        click.echo(f"{len(summary['failed'])} of {len(result.rows)} points failed")
        for text in dict.fromkeys(entry["error"] for entry in summary["failed"]):
            click.echo(f"  {text}")


def _table(curve: dict[str, Any]) -> Table:
    where = f"T {curve['timesteps']}, batch {curve['batch_images']}, buffers x{curve['buffer_factor']:g}"
    if curve["potentials"] == "recompute":
        where += ", potentials recomputed"
    table = Table(title=where, title_justify="left")
    table.add_column("DRAM", no_wrap=True)
    for name in ("peak GB/s", "step us", "slower by", "moved MiB", "of peak"):
        table.add_column(name, justify="right", no_wrap=name == "step us")
    table.add_column("waits for DRAM", no_wrap=True)
    best = curve["unlimited_ps"]
    for point in curve["points"]:
        waits = point["dram_wait_shares"]
        engine = max(waits, key=lambda name: waits[name])
        table.add_row(
            point["dram"],
            f"{point['dram_peak_bytes_per_us'] / 1e3:,.1f}",
            f"{point['step_ps'] / 1e6:,.1f}",
            f"{point['step_ps'] / best - 1:.0%}" if best else "",
            f"{point['dram_bytes'] / 2**20:,.1f}",
            f"{point['share_of_peak']:.0%}",
            f"{engine.replace('_', ' ')} {waits[engine]:.0%}" if waits[engine] else "none",
        )
    if best:
        table.add_row("unlimited", "", f"{best / 1e6:,.1f}")
    return table


def _knee(curve: dict[str, Any]) -> str:
    if curve["unlimited_ps"] is None:
        return "knee: unknown, since unlimited bandwidth could not be simulated"
    measured = curve["knee_bytes_per_us"]
    found = "above all that was simulated" if measured is None else f"{measured / 1e3:,.1f} GB/s"
    crossing = curve["asymptotes_cross_bytes_per_us"]
    return f"knee: {found} (within 5 % of unlimited bandwidth); asymptotes cross at {crossing / 1e3:,.1f} GB/s"
