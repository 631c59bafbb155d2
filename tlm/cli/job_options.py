"""Options that all long jobs share: processes, and the folder that results and journal stand in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

workers_option = click.option("--workers", type=int, metavar="N", help="Processes.  [default: one a processor]")


def out_option(default: str, content: str) -> Callable[[Command], Command]:
    """Return the option --out: the folder for `content`, beside which the journal stands."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path(default),
        show_default=True,
        metavar="DIR",
        help=f"Folder for {content} and the journal.",
    )
