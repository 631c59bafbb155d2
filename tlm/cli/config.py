"""`h2learn config show` and `config placement`: a configuration in full, and where it puts a network's tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tlm.cli.completion import complete_keys, complete_networks, complete_presets
from tlm.cli.console import output_console
from tlm.cli.examples import examples

Command = TypeVar("Command", bound=Callable[..., Any])

CONFIG_HELP = "Preset (h2learn list presets) or YAML file."
SET_HELP = "Override one key, e.g. --set dram.channels=4; may be given often."

set_option = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, shell_complete=complete_keys, help=SET_HELP
)


def config_option(name: str = "config", default: str | None = None) -> Callable[[Command], Command]:
    """Return the option --config; without a default it is `h2learn`, unless a trace says otherwise."""
    return click.option(
        "--config",
        name,
        metavar="PRESET|FILE",
        default=default,
        show_default=default is not None,
        shell_complete=complete_presets,
        help=CONFIG_HELP + ("" if default else "  [default: h2learn]"),
    )


@click.group()
def config() -> None:
    """Show configurations."""


@config.command(
    epilog=examples(
        "h2learn config show > mine.yaml             # a template: change it, then --config mine.yaml",
        "h2learn config show edge --set dram.channels=2",
    )
)
@click.argument("name", metavar="[PRESET|FILE]", default="h2learn", shell_complete=complete_presets)
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
def show(name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print a whole configuration: every key with the value that a run would use."""
    from tlm.config import dump_config, load_config

    chosen = load_config(name, overrides)
    if as_json:
        click.echo(json.dumps(chosen.model_dump(mode="json"), indent=2))
    else:
        click.echo(dump_config(chosen), nl=False)


@config.command(
    epilog=examples("h2learn config placement cifar-cnn --batch 8 --set buffers.weights_bytes=1048576"),
)
@click.argument("network", metavar="NETWORK", shell_complete=complete_networks)
@config_option("config_name", "h2learn")
@set_option
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
