"""`h2learn config show`: a preset or a user's file after overrides, checked, as YAML or JSON."""

from __future__ import annotations

import json

import click

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
