"""`h2learn dram record TRACE`: the DRAM requests of a training step, in the order in which they are offered."""

from __future__ import annotations

from pathlib import Path

import click

from tlm.cli.config import config_option, set_option
from tlm.cli.examples import examples

# What the command needs is imported inside it, so that its help answers at once.


@click.command(
    "record",
    epilog=examples(
        "h2learn dram record h2learn-run/trace.h5 --out step.txt",
        "h2learn dram record h2learn-run/trace.h5 --out step.parquet --format parquet",
    ),
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="File to write.")
@config_option("config_name")
@set_option
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["requests", "ramulator", "parquet"]),
    default="requests",
    show_default=True,
    help="Lines with cycle and stream as comments, Ramulator's load/store lines, or a table.",
)
@click.option(
    "--channel", metavar="N", type=int, help="Only this channel, with its own addresses [default: all, as one]"
)
def record(
    trace: Path,
    out: Path,
    config_name: str | None,
    overrides: tuple[str, ...],
    file_format: str,
    channel: int | None,
) -> None:
    """Simulate the training step in TRACE and write its DRAM requests, one burst a line ("R 0xADDR" or "W 0xADDR").

    `h2learn dram replay` reads the file; without --channel tell it --channels and --interleave of the configuration.
    """
    from tlm.dram_requests import record_requests, write_parquet, write_requests
    from tlm.trace_config import config_for_trace
    from workloads.atomic import check_writable
    from workloads.trace_file import open_trace

    check_writable(out)
    with open_trace(trace) as opened:
        config = config_for_trace(opened.arithmetic, config_name, overrides)
        requests = record_requests(opened, config, channel)
    if file_format == "parquet":
        write_parquet(requests, out)
    else:
        write_requests(requests, out, "ramulator" if file_format == "ramulator" else "requests")
    dram = config.dram
    place = f"{dram.channels} channels" if channel is None else f"channel {channel} of {dram.channels}"
    click.echo(
        f"{out}: {len(requests.addresses):,} bursts of {requests.standard.burst_bytes} bytes in "
        f"{len(requests.transfers):,} transactions, {place} of {requests.standard.name}"
    )
    how = "" if channel is not None else f" --channels {dram.channels} --interleave {dram.interleave_bytes}"
    if file_format != "parquet":
        replay = f"h2learn dram replay {out} --standard {dram.standard} --controller {dram.controller}{how}"
        click.echo(f"replay with: {replay}")
