"""What `h2learn dram replay` tells of a result: JSON, a table, and the log of commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlm.cli.console import output_console

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tlm.memory.replay import ReplayResult

# The libraries behind the table and the log are imported where they are used, so that help answers at once.

COUNTS = ("row_hits", "row_misses", "row_conflicts", "forwarded_reads", "coalesced_writes")
LATENCIES = ("mean", "p50", "p99", "min", "max")


def described(result: ReplayResult) -> dict[str, Any]:
    """Return a result as `--json` prints it; cycles are clocks, GB are 10^9 bytes."""
    any_latency = result.read_latency_max > 0
    return {
        "requests": result.requests,
        "reads": result.reads,
        "writes": result.writes,
        "bytes": result.bytes,
        "cycles_total": result.cycles_total,
        "time_ns": result.time_ns,
        "bandwidth_gb_per_s": result.bandwidth_gbps,
        "peak_gb_per_s": result.peak_gbps,
        "share_of_peak": result.share_of_peak,
        **{name: getattr(result, name) for name in COUNTS},
        "read_latency_cycles": {name: getattr(result, f"read_latency_{name}") for name in LATENCIES}
        if any_latency
        else None,
        "write_wait_cycles_mean": result.write_wait_mean if result.writes else None,
        "cycles_last_request_accepted": result.cycles_last_request_accepted,
        "read_queue_mean": result.read_queue_mean,
        "write_queue_mean": result.write_queue_mean,
        "commands": result.command_counts,
    }


def print_result(answer: dict[str, Any]) -> None:
    """Print what `described` returned, and the setting, as a table."""
    from rich.table import Table

    channels = f"{answer['channels']} channel" + ("s" if answer["channels"] > 1 else "")
    click.echo(f"{answer['trace']}: {answer['standard']}, {channels}, controller {answer['controller']}")
    table = Table(show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, text in _lines(answer):
        table.add_row(name, text)
    output_console().print(table)


def _lines(answer: dict[str, Any]) -> list[tuple[str, str]]:
    peak = f"{answer['peak_gb_per_s']:.4g}"
    lines = [
        ("requests", f"{answer['requests']:,}: {answer['reads']:,} reads, {answer['writes']:,} writes"),
        ("bytes", f"{answer['bytes']:,}"),
        ("cycles", f"{answer['cycles_total']:,.10g} of {answer['clock_period_ps']} ps"),
        ("time", f"{answer['time_ns'] / 1000:,.3f} us"),
        ("bandwidth", f"{answer['bandwidth_gb_per_s']:.3f} GB/s, {answer['share_of_peak']:.1%} of {peak} GB/s"),
        (
            "row hits, misses, conflicts",
            f"{answer['row_hits']:,}, {answer['row_misses']:,}, {answer['row_conflicts']:,}",
        ),
    ]
    if answer["forwarded_reads"] or answer["coalesced_writes"]:
        text = f"{answer['forwarded_reads']:,} reads, {answer['coalesced_writes']:,} writes"
        lines.append(("served by a waiting write", text))
    latency = answer["read_latency_cycles"]
    if latency:
        parts = (f"{name} {latency[name]:,.6g}" for name in ("mean", "p50", "p99", "max"))
        lines.append(("read latency in cycles", ", ".join(parts)))
    if answer["writes"]:
        lines.append(("write waits in cycles", f"mean {answer['write_wait_cycles_mean']:,.6g}"))
    queues = f"{answer['read_queue_mean']:.2f} reads, {answer['write_queue_mean']:.2f} writes"
    lines.append(("mean queue", queues))
    commands = (f"{name} {count:,}" for name, count in answer["commands"].items() if count)
    lines.append(("commands", ", ".join(commands)))
    return lines


def write_commands(path: Path, result: ReplayResult, channel_of_request: NDArray[np.int64]) -> None:
    """Write the commands of all channels, requests numbered from 0 as in the trace; the file appears whole or not.

    Empty cells: a command to a whole rank or pseudo-channel names no bank, one that serves no request no request.
    """
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv, parquet

    from tlm.memory.commands import COMMAND_RECORD, DramCommand
    from workloads.atomic import replacing

    names = np.array([command.name for command in DramCommand])
    tables = []
    for channel, log in enumerate(result.commands):
        requests = np.append(np.flatnonzero(channel_of_request == channel), -1)  # the last serves the number -1
        columns = {name: log[name].astype(np.int64) for name in COMMAND_RECORD.names or ()}
        columns["request"] = requests[columns["request"]]
        arrays = {name: pa.array(values, mask=values < 0) for name, values in columns.items()}
        arrays["command"] = pa.array(names[columns["command"]])
        tables.append(pa.table({"channel": pa.array(np.full(len(log), channel)), **arrays}))
    table = pa.concat_tables(tables)
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            parquet.write_table(table, temporary)
        else:
            csv.write_csv(table, temporary, csv.WriteOptions(quoting_style="none"))
