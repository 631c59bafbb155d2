"""`h2learn export scale-sim NETWORK|TRACE`: a network as SCALE-Sim takes it."""

from __future__ import annotations

from pathlib import Path

import click

from tlm.cli.completion import complete_networks
from tlm.cli.examples import examples


@click.command(
    "scale-sim",
    epilog=examples(
        "h2learn export scale-sim cifar-cnn --out scale",
        "h2learn export scale-sim step.h5 --out scale --rows 128 --columns 128 --dataflow ws",
    ),
)
@click.argument("target", metavar="NETWORK|TRACE", shell_complete=complete_networks)
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--rows", type=int, default=32, show_default=True, help="Rows of the array.")
@click.option("--columns", type=int, default=32, show_default=True, help="Columns of the array.")
@click.option(
    "--dataflow",
    default="os",
    show_default=True,
    metavar="NAME",
    help="Output, weight or input stationary: os, ws, is.",
)
@click.option(
    "--sram-kib", type=int, default=1024, show_default=True, metavar="N", help="Size of each of its memories."
)
@click.option("--images", type=int, metavar="N", help="Images of gemm.csv.  [default: the trace's, 1 of a network]")
def scale_sim(
    target: str, out: Path, rows: int, columns: int, dataflow: str, sram_kib: int, images: int | None
) -> None:
    """Write the layers of NETWORK for SCALE-Sim 3.0.0: topology.csv, gemm.csv, layout.csv and scale.cfg.

    topology.csv is the forward pass of one image and timestep, gemm.csv all three passes of a training step. Both are
    dense: SCALE-Sim knows no zeros in activations.
    """
    from tlm.cli.export_target import read_target
    from workloads.exporters.scale_sim import CONFIG, LAYOUT, TOPOLOGY, SystolicArray, write_scale_sim

    read = read_target(target, "export scale-sim", sparsity=False)
    array = SystolicArray(rows, columns, dataflow, sram_kib)
    files = write_scale_sim(read.network, out, array, read.images if images is None else images)
    click.echo(f"{out}: {', '.join(path.name for path in files)}")
    paths = f"-c {out / CONFIG} -t {out / TOPOLOGY} -l {out / LAYOUT}"
    click.echo(f"run with: python -m scalesim.scale {paths} -p {out} -i conv")
