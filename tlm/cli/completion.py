"""`h2learn completion SHELL`, and what the shell is told of names and keys that only h2learn knows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from tlm.cli.examples import examples

VARIABLE = "_H2LEARN_COMPLETE"
"""Environment variable by which a shell asks `h2learn` for completions."""

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class _Bash(BashComplete):
    """Bash, without a space behind a key that still needs its value."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value == *= ]] && compopt -o nospace"
    )


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    epilog=examples(
        'eval "$(h2learn completion bash)"                  # this shell; in ~/.bashrc: every shell',
        'eval "$(h2learn completion zsh)"                   # in ~/.zshrc',
        "h2learn completion fish > ~/.config/fish/completions/h2learn.fish",
    )
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands, options, networks, presets and keys of --set."""
    root = click.get_current_context().find_root()
    click.echo(SHELLS[shell](root.command, {}, "h2learn", VARIABLE).source(), nl=False)


def answer(command: click.Command, settings: dict[str, bool], instruction: str) -> int:
    """Answer a shell that asks for completions (``bash_complete``) or for its script (``bash_source``)."""
    shell, _, what = instruction.partition("_")
    if shell not in SHELLS or what not in ("source", "complete"):
        return 1
    asked = SHELLS[shell](command, {"obj": settings}, "h2learn", VARIABLE)
    click.echo(asked.source() if what == "source" else asked.complete())
    return 0


def names_of(target: str) -> Completer:
    """Complete the names in ``module:attribute``, a function or a collection; where none fits, files."""

    def complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        module, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        names = [name for name in (found() if callable(found) else found) if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]

    return complete


def complete_keys(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the keys of a configuration, up to the equals sign."""
    from tlm.config import Config

    return [CompletionItem(f"{key}=") for key in _keys(Config) if key.startswith(incomplete)]


def _keys(model: type[object]) -> Iterator[str]:
    """Dotted keys of a table of a configuration and of those in it."""
    from pydantic import BaseModel

    if issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from (f"{name}.{key}" for key in _keys(inner))
            else:
                yield name


complete_networks = names_of("workloads.network:list_networks")
complete_presets = names_of("tlm.config:list_presets")
complete_standards = names_of("tlm.memory.standard:list_standards")
complete_devices = names_of("tlm.analysis.gpu.device:device_names")
complete_controllers = names_of("tlm.memory.controller:CONTROLLERS")
