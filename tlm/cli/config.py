"""`h2learn config show` and `config placement`: a configuration in full, and where it puts a network's tensors."""

from __future__ import annotations

import json

import click

from tlm.cli.console import output_console

CONFIG_HELP = "Preset (h2learn list presets) or YAML file."
SET_HELP = "Override one key, e.g. --set dram.channels=4; may be given often."


@click.group()
def config() -> None:
    """Show configurations."""


@config.command()
@click.argument("name", metavar="[PRESET|FILE]", default="h2learn")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help=SET_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
def show(name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print a whole configuration: every key with the value that a run would use."""
    from tlm.config import dump_config, load_config

    chosen = load_config(name, overrides)
    if as_json:
        click.echo(json.dumps(chosen.model_dump(mode="json"), indent=2))
    else:
        click.echo(dump_config(chosen), nl=False)


@config.command()
@click.argument("network")
@click.option("--config", "config_name", metavar="PRESET|FILE", default="h2learn", show_default=True, help=CONFIG_HELP)
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help=SET_HELP)
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Samples of a step.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def placement(network: str, config_name: str, overrides: tuple[str, ...], batch: int, as_json: bool) -> None:
    """Show where the tensors of NETWORK live: in which buffer, or in DRAM, and what is staged."""
    from tlm.config import load_config
    from tlm.dram_model import check_dram
    from tlm.report.placement import placement_data, print_placement
    from tlm.schedule.placement import place
    from workloads.network import load_network

    chosen, layers = load_config(config_name, overrides), load_network(network)
    placed = place(layers, batch, chosen)
    check_dram(chosen.dram, placed.dram_bytes)
    data = placement_data(placed, layers)
    if as_json:
        click.echo(json.dumps(data, indent=2))
    else:
        print_placement(data, output_console(markup=True))
