"""The console that tables go to: as wide as the terminal, and wide enough for every table where there is none."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 150


class _OutputConsole(Console):
    """A console that leaves it to the command line to say what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        """Raise what rich would turn into exit code 1, which is that of a failed comparison here."""
        raise BrokenPipeError


def output_console(markup: bool = False, soft_wrap: bool = False) -> Console:
    """Return a console on stdout that colours no numbers; `markup` reads [bold], `soft_wrap` never breaks a line."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return _OutputConsole(width=width, highlight=False, markup=markup, soft_wrap=soft_wrap)
