"""`h2learn list`: the networks and presets that come with the package, one a line, the name first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tlm.cli.examples import examples
from workloads.layer import CONSTANT

if TYPE_CHECKING:
    from tlm.config import Config
    from workloads.network import Layer, Network

# What a command needs is imported inside it: help answers at once, and networks do not wait for configurations.


@click.group("list")
def listing() -> None:
    """List the networks and presets that come with h2learn."""


@listing.command(epilog=examples("h2learn list networks", "h2learn list networks --json | jq -r '.[].name'"))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def networks(as_json: bool) -> None:
    """List the networks: input, layers, timesteps, weights."""
    from workloads.network import list_networks, load_network

    found = [load_network(name) for name in list_networks()]
    if as_json:
        click.echo(json.dumps([network.to_dict() for network in found], indent=2))
    else:
        _print_table([(network.name, _describe_network(network)) for network in found])


@listing.command(
    epilog=examples("h2learn list presets", "h2learn config show edge                         # one of them in full")
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def presets(as_json: bool) -> None:
    """List the accelerator's configurations: clock, engines, on-chip memory, DRAM."""
    from tlm.config import list_presets, load_config

    found = [load_config(name) for name in list_presets()]
    if as_json:
        click.echo(json.dumps([config.model_dump(mode="json") for config in found], indent=2))
    else:
        _print_table([(config.name, _describe_preset(config)) for config in found])


def _print_table(rows: list[tuple[str, str]]) -> None:
    width = max((len(name) for name, _ in rows), default=0)
    for name, description in rows:
        click.echo(f"{name:<{width}}  {description}")


def _describe_network(network: Network) -> str:
    source = network.input
    layers = ", ".join(_describe_layer(layer) for layer in network.layers)
    weights = sum(layer.weights_count for layer in network.layers)
    shape = f"{source.height} x {source.width} x {source.channels}"
    return f"{shape} {source.coding} input; {layers}; {network.timesteps} timesteps, {weights:,} weights"


def _describe_layer(layer: Layer) -> str:
    if layer.source == CONSTANT:
        return f"bias {layer.out_channels}"
    if layer.fully_connected:
        return f"linear {layer.out_channels}"
    stride = f" stride {layer.stride}" if layer.stride > 1 else ""
    pool = f" pool {layer.pool}" if layer.pool > 1 else ""
    kind = "conv" if layer.joins is None else "projection"
    shortcut = "" if layer.identity is None else " + shortcut"
    return f"{kind} {layer.out_channels} {layer.kernel_height}x{layer.kernel_width}{stride}{pool}{shortcut}"


def _describe_preset(config: Config) -> str:
    forward, backward, update = config.forward_engine, config.backward_engine, config.weight_update_engine
    buffers_bytes = sum(config.buffers.model_dump().values())
    parts = [
        f"clock {config.clock_period_ps} ps",
        f"k {config.lut.k}, {config.lut.lanes} lanes a row",
        f"forward {forward.arrays} x {forward.rows} rows",
        f"backward {backward.units} units x {backward.lanes} lanes",
        f"weight update {update.arrays} x {update.rows} rows",
        f"buffers {buffers_bytes / 2**20:g} MiB",
        f"DRAM {config.dram.channels} channels",
    ]
    return "; ".join(parts) + (" (provisional)" if config.provisional else "")
