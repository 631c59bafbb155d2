"""`h2learn dram standards [NAME]`: the DRAM standards, one a line, or the table of one as YAML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tlm.cli.completion import complete_standards
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from tlm.memory.standard import DramStandard


@click.command(
    epilog=examples(
        "h2learn dram standards",
        "h2learn dram standards HBM2 > mine.yaml           # a template: change it, then --set dram.standard=mine.yaml",
    )
)
@click.argument("name", metavar="[NAME]", required=False, shell_complete=complete_standards)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def standards(name: str | None, as_json: bool) -> None:
    """List the DRAM standards that come with h2learn, or show the table of NAME as YAML.

    A table is a template for one's own: change it and give its file as --standard FILE.
    """
    import yaml

    from tlm.memory.standard import list_standards, load_standard, standard_table

    if name is not None:
        load_standard(name)  # a file is shown only if it is a table
        text = standard_table(name)
        click.echo(json.dumps(yaml.safe_load(text), indent=2) + "\n" if as_json else text, nl=False)
        return
    found = [_facts(each, load_standard(each)) for each in list_standards()]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    width = max(len(facts["name"]) for facts in found)
    for facts in found:
        click.echo(f"{facts['name']:<{width}}  {_described(facts)}")


def _facts(name: str, standard: DramStandard) -> dict[str, Any]:
    """Return what is listed of one channel of a standard."""
    organisation = standard.organisation
    return {
        "name": name,
        "family": str(standard.family),
        "capacity_bytes": standard.capacity_bytes,
        "peak_bytes_per_us": standard.peak_bytes_per_us,
        "clock_period_ps": standard.clock_period_ps,
        "burst_bytes": standard.burst_bytes,
        "banks": organisation.banks,
        "rows": organisation.rows,
        "row_bytes": organisation.bursts_per_row * standard.burst_bytes,
    }


def _described(facts: dict[str, Any]) -> str:
    parts = (
        f"{facts['family']} channel of {facts['capacity_bytes'] / 2**30:g} GiB",
        f"{facts['peak_bytes_per_us'] / 1000:.4g} GB/s",
        f"clock {facts['clock_period_ps']} ps",
        f"bursts of {facts['burst_bytes']} bytes",
        f"{facts['banks']} banks of {facts['rows']} rows",
        f"rows of {facts['row_bytes']} bytes",
    )
    return ", ".join(parts)
