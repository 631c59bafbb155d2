"""`h2learn export sata-sim NETWORK|TRACE`: a network and how sparse it is, as SATA_Sim takes them."""

from __future__ import annotations

from pathlib import Path

import click

from tlm.cli.completion import complete_networks
from tlm.cli.examples import examples


@click.command("sata-sim", epilog=examples("h2learn export sata-sim step.h5 --out sata"))
@click.argument("target", metavar="NETWORK|TRACE", shell_complete=complete_networks)
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder for the files.")
def sata_sim(target: str, out: Path) -> None:
    """Write the layers of TRACE for both programs of SATA_Sim, and its sparsities.

    network.yaml is for training, workload.yaml for inference, sparsity.yaml holds the values of T, sp_s, sp_du and
    sp_df that SATA_Sim has as constants in its source. A NETWORK alone counts as dense.
    """
    from tlm.cli.export_target import read_target
    from workloads.exporters.sata_sim import write_sata_sim

    read = read_target(target, "export sata-sim", sparsity=True)
    files = write_sata_sim(read.network, out, read.sparsity)
    click.echo(f"{out}: {', '.join(path.name for path in files)}")
    if not read.sparsity:
        click.echo("no trace, no sparsity: everything counts as dense")
