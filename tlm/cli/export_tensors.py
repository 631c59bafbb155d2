"""`h2learn export tensors TRACE`: a trace as tensors for PyTorch or NumPy."""

from __future__ import annotations

from pathlib import Path

import click

from tlm.cli.examples import examples


@click.command(
    epilog=examples(
        "h2learn export tensors step.h5 --out step.npz",
        "h2learn export tensors step.h5 --out step.pt --images 2      # needs PyTorch",
    )
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="A .pt or .npz file.")
@click.option("--images", type=int, metavar="N", help="Only the first N images.  [default: all]")
def tensors(trace: Path, out: Path, images: int | None) -> None:
    """Write the tensors of TRACE in PyTorch's layouts: [T, B, C, H, W] and [M, C, R, S].

    docs/export.md names them.
    """
    from workloads.atomic import check_writable
    from workloads.exporters.tensors import write_tensors
    from workloads.trace_file import open_trace

    check_writable(out)
    with open_trace(trace) as opened:
        names = write_tensors(opened, out, images)
    click.echo(f"{out}: {len(names)} tensors")
