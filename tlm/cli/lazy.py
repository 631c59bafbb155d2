"""A click group whose commands are imported when they are called, so that help and mistakes answer at once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class LazyCommand:
    """Where a command is found, as ``module:attribute``, and its line in the help of the group."""

    target: str
    short_help: str

    def load(self) -> click.Command:
        """Import the command; raises TypeError where the target is not a click command."""
        module, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is not a click command, got {command!r}")
        return command


class LazyGroup(click.Group):
    """A group with a table of commands still to be imported, beside those it holds already."""

    def __init__(self, name: str, lazy: Mapping[str, LazyCommand], **settings: object) -> None:
        super().__init__(name, **settings)  # type: ignore[arg-type]  # click's own settings, passed through
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, then those added by hand."""
        return [*self._lazy, *(name for name in super().list_commands(ctx) if name not in self._lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, importing it where needed; None for an unknown name."""
        if cmd_name in self._lazy:
            return self._lazy[cmd_name].load()
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' section of the help from the table alone."""
        rows = [(name, self._short_help(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name from the table, an option as click does."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=self._short_help(ctx, name)) for name in names]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def _short_help(self, ctx: click.Context, name: str) -> str:
        if name in self._lazy:
            return self._lazy[name].short_help
        command = super().get_command(ctx, name)
        return command.get_short_help_str(limit=80) if command else ""
