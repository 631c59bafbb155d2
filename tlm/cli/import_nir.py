"""`h2learn import nir`: a NIR graph as a network file and a file of weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tlm.cli.examples import examples

RESETS = click.Choice(["zero", "subtract", "subtract-delayed"])


@click.command(
    epilog=examples(
        "h2learn import nir model.nir --out model.yaml --exponent 4 --reset subtract-delayed --detached-reset",
        "h2learn import nir model.nir --out model.yaml --fire at",
    )
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="NAME.yaml",
    help="The network file; NAME.weights.h5 comes beside it.  [default: FILE's name, in the current folder]",
)
@click.option("--name", help="The network's.  [default: that of the exported network, or FILE's]")
@click.option("--timesteps", type=int, help="Of a sample: NIR's time is continuous.  [default: 6]")
@click.option("--dt", type=float, default=1e-4, show_default=True, help="Seconds of a timestep, as it was exported.")
@click.option(
    "--reset",
    type=RESETS,
    help="After a spike: to 0, by the threshold before the decay, or by it behind the decay (snnTorch's default).  "
    "[default: zero]",
)
@click.option(
    "--reset-gradient/--detached-reset",
    default=None,
    help="Whether gradients run through the reset (snnTorch: detached).  [default: reset-gradient]",
)
@click.option(
    "--fire",
    type=click.Choice(["above", "at"]),
    default="above",
    show_default=True,
    help="Neurons fire above the threshold, or at it too (SpikingJelly).",
)
@click.option("--input", "coding", type=click.Choice(["direct", "spikes"]), help="Bytes, or bits.  [default: direct]")
@click.option("--exponent", type=int, help="Bytes of direct coding count x 2^-EXPONENT.  [default: 8]")
@click.option("--signed/--unsigned", default=None, help="Whether the bytes are signed.  [default: unsigned]")
@click.option(
    "--shape",
    type=(int, int, int),
    metavar="HEIGHT WIDTH CHANNELS",
    help="Of the input, where the graph does not say or has a vector.",
)
@click.option("--interval", type=float, help="Half the width of the surrogate's rectangle.  [default: 0.5]")
@click.option("--beta", type=float, help="Height of the surrogate's rectangle.  [default: 1]")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def nir(file: Path, out: Path | None, fire: str, as_json: bool, **options: Any) -> None:
    """Read the NIR graph in FILE and write a network file with its weights, which `train` and `run` start from.

    What the machine cannot have is named with its node. docs/import.md tells what is mapped, and which options the
    graphs of which framework need.
    """
    from workloads.importers.files import write_network
    from workloads.importers.nir import NirOptions, import_nir

    imported = import_nir(file, NirOptions(fires_at_threshold=fire == "at", **options))
    path, weights = write_network(imported, out or Path(f"{file.stem}.yaml"))
    network = imported.network
    if as_json:
        found = {"network": network.to_dict(), "file": str(path), "weights": str(weights)}
        click.echo(json.dumps(found | {"nodes": imported.layer_of, "notes": imported.notes}, indent=2))
        return
    for where, number in imported.layer_of.items():
        layer = network.layers[number]
        shape = f"{layer.out_height} x {layer.out_width} x {layer.out_channels}"
        click.echo(f"{where}: {layer.name}, {shape}")
    for note in imported.notes:
        click.echo(f"note: {note}")
    click.echo(f"network: {path}, weights: {weights}")
