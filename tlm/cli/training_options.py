"""Options of the commands that train: what the bits of a step depend on, and the descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--k", type=int, default=4, show_default=True, help="Spikes that index a table, 1..8."),
    click.option("--lanes", type=int, default=16, show_default=True, help="Tables summed by one tree, a power of two."),
    click.option("--micro-batch", type=int, default=8, show_default=True, help="Samples worked on together."),
    click.option("--learning-rate", type=float, default=0.1, show_default=True, help="At the start of the cosine."),
    click.option("--momentum", type=float, default=0.9, show_default=True, help="Of the descent."),
    click.option(
        "--weight-decay", type=float, default=0.0, show_default=True, help="Share of a weight added to its gradient."
    ),
    click.option("--scale-log2", type=int, default=12, show_default=True, help="Loss scale, as a power of two."),
    click.option(
        "--dynamic-scale", is_flag=True, help="Lower the scale after a non-finite step, raise it after 2,000 good ones."
    ),
)


def descent_options(command: Command) -> Command:
    """Give a command k, lanes and micro-batch, the rates of the descent, and the loss scale."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
