"""`h2learn dram standards [NAME]`: the DRAM standards, one a line, or the table of one as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tlm.memory.standard import DramStandard


@click.command()
@click.argument("name", required=False)
def standards(name: str | None) -> None:
    """List the DRAM standards that come with h2learn, or show the table of NAME as YAML.

    A table is a template for one's own: change it and give its file as --standard FILE.
    """
    from tlm.memory.standard import list_standards, load_standard, standard_table

    if name is not None:
        click.echo(standard_table(name), nl=False)
        return
    names = list_standards()
    width = max(map(len, names))
    for each in names:
        click.echo(f"{each:<{width}}  {_described(load_standard(each))}")


def _described(standard: DramStandard) -> str:
    """Return one line on one channel of a standard."""
    organisation = standard.organisation
    parts = (
        f"{standard.family} channel of {standard.capacity_bytes / 2**30:g} GiB",
        f"{standard.peak_bytes_per_us / 1000:.4g} GB/s",
        f"clock {standard.clock_period_ps} ps",
        f"bursts of {standard.burst_bytes} bytes",
        f"{organisation.banks} banks of {organisation.rows} rows",
        f"rows of {organisation.bursts_per_row * standard.burst_bytes} bytes",
    )
    return ", ".join(parts)
