"""`h2learn export sparsity TRACE...`: how sparse traces are, as a table for analytical models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tlm.cli.examples import examples


@click.command(
    epilog=examples(
        "h2learn export sparsity step.h5 --out sparsity.csv",
        "h2learn export sparsity run/*.h5 --by timestep --out sparsity.parquet",
    )
)
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="A .csv or .parquet file.")
@click.option(
    "--by",
    type=click.Choice(["layer", "timestep"]),
    default="layer",
    show_default=True,
    help="A row a layer, or a row a layer and timestep.",
)
def sparsity(traces: tuple[Path, ...], out: Path, by: str) -> None:
    """Write firing rates, densities of masks and gradients and zero index groups of each TRACE, layer by layer.

    docs/export.md explains the columns.
    """
    from workloads.atomic import check_writable
    from workloads.exporters.sparsity import check_suffix, sparsity_rows, write_sparsity
    from workloads.trace_file import open_trace

    def rows() -> Iterator[dict[str, Any]]:
        for path in traces:
            with open_trace(path) as trace:
                yield from sparsity_rows(trace, by_timestep=by == "timestep")

    check_suffix(out)
    check_writable(out)
    click.echo(f"{out}: {write_sparsity(rows(), out)} rows")
