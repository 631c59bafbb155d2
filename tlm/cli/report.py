"""`h2learn report`: the results in a folder as one web page."""

from __future__ import annotations

from pathlib import Path

import click

from tlm.cli.examples import examples


@click.command(
    epilog=examples("h2learn report h2learn-run", "h2learn report h2learn-sweep --out sweep.html"),
)
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.html", help="The page.  [default: report.html in FOLDER]"
)
def report(folder: Path, out: Path | None) -> None:
    """Write one self-contained web page about the run or the sweep in FOLDER: it needs no network and no other file.

    A run: timeline to zoom, stalls by cause, DRAM bytes by stream, rooflines, tables by layer that sort, co-simulation,
    configuration and provenance. A sweep: its points over any two axes, the front, a table that sorts and filters,
    errors. docs/report.md explains them.
    """
    from tlm.report.page.folder import PAGE, folder_page
    from workloads.atomic import check_writable, replacing

    target = out or folder / PAGE
    page = folder_page(folder)
    check_writable(target)
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    click.echo(f"page: {target} ({len(page.encode()) / 1e6:.1f} MB)")
