"""`h2learn export nir`: a network and its weights as a NIR graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtl_models.errors import InputError
from tlm.cli.completion import complete_networks
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from workloads.network import Network


@click.command(
    epilog=examples(
        "h2learn export nir h2learn-run/trace.h5 --out model.nir",
        "h2learn export nir model.yaml --out model.nir --dt 1e-3",
    )
)
@click.argument("target", metavar="NETWORK|TRACE", shell_complete=complete_networks)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.nir", required=True, help="The graph.")
@click.option("--dt", type=float, default=1e-4, show_default=True, help="Seconds of a timestep.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def nir(target: str, out: Path, dt: float, as_json: bool) -> None:
    """Write a NETWORK file's weights, or those that the step of a TRACE left (in binary32), as a NIR graph.

    `h2learn import nir` reads it back as the same network. NIR knows no soft reset, input coding, surrogate or number
    of timesteps: they stand in the graph's metadata.
    """
    from workloads.exporters.nir import write_nir

    network, weights = _weights(target)
    graph = write_nir(network, weights, out, dt)
    if as_json:
        nodes = {name: type(node).__name__ for name, node in graph.nodes.items()}
        click.echo(json.dumps({"network": network.name, "file": str(out), "nodes": nodes}, indent=2))
        return
    for name, node in graph.nodes.items():
        click.echo(f"{name}: {type(node).__name__}")
    click.echo(f"graph: {out}")


def _weights(target: str) -> tuple[Network, tuple[Any, ...]]:
    """Return a network and its weights; raises InputError where it has none."""
    from workloads.network import list_networks, load_network
    from workloads.trace_file import open_trace

    if target in list_networks() or Path(target).suffix in (".yaml", ".yml"):
        network = load_network(target)
        if network.weights is None:
            raise InputError("the network has no weights", "export nir", target, "a trace, or a network with `weights`")
        return network, network.weights.read(network.layers)
    if not Path(target).exists():
        raise InputError("unknown network or trace", "export nir", target, "a network file (.yaml) or a trace file")
    with open_trace(target) as trace:
        return trace.network, tuple(trace.new_master(number) for number in range(len(trace.network.layers)))
