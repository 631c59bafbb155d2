"""The console that tables go to: as wide as the terminal, and wide enough for every table where there is none."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 150


def output_console(markup: bool = False, soft_wrap: bool = False) -> Console:
    """Return a console on stdout that colours no numbers; `markup` reads [bold], `soft_wrap` never breaks a line."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(width=width, highlight=False, markup=markup, soft_wrap=soft_wrap)
