"""Every `h2learn` command that a page shows exists, with the options that it is shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest

from tests.docs.examples import PAGES, ROOT
from tlm.cli.main import h2learn

_LINE = re.compile(r"^ *(?:\$ )?(?:\.venv/bin/)?(h2learn(?: |$).*)")
_INLINE = re.compile(r"`(h2learn [^`]+)`")
_OPTION = re.compile(r"--[a-z][a-z0-9-]*")
_PLACEHOLDER = re.compile(r"[\[\]|…]|\.\.\.")


def shown(text: str) -> Iterator[tuple[int, str]]:
    """Every command in the code of a page, with its line; one named in running text is marked as incomplete."""
    in_fence = False
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if line.startswith("```"):
            in_fence = not in_fence
            continue
        yield from ((number, f"{match} ...") for match in _INLINE.findall(line))
        match = _LINE.match(line) if in_fence or line.startswith("    ") else None
        if match:
            command, following = match[1], number
            while command.endswith("\\"):
                command = command.rstrip("\\") + lines[following].strip()
                following += 1
            yield number, command


def _options(command: click.Command) -> set[str]:
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)}


def mistakes(command: str) -> list[str]:
    """What is wrong with a command; one with placeholders (``[A|B]``, ``...``) is held to its names alone."""
    try:
        words = list(takewhile(lambda word: word not in (">", "|"), shlex.split(command, comments=True)[1:]))
    except ValueError as error:
        return [str(error)]
    if words[-2:-1] == [">"]:
        words = words[:-2]
    found: list[str] = []
    with click.Context(h2learn, info_name="h2learn", **h2learn.context_settings) as root:
        chain, group, ctx = _options(h2learn), h2learn, root
        while words and not words[0].startswith(("-", "[", "...")):
            first, *others = words[0].strip(",").split("|")
            unknown = [name for name in (first, *others) if group.get_command(ctx, name) is None]
            if unknown:
                return [f"no command {' '.join(unknown)}"]
            leaf = group.get_command(ctx, first)
            assert leaf is not None
            words = words[1:]
            chain |= _options(leaf)
            if not isinstance(leaf, click.Group):
                known = {*chain, "--help"}
                found += [f"no option {name}" for name in _OPTION.findall(" ".join(words)) if name not in known]
                if not found and words and not _PLACEHOLDER.search(command):
                    found += _parsed(leaf, words, ctx)
                return found
            group, ctx = leaf, click.Context(leaf, parent=ctx)
    return [f"no option {name}" for name in _OPTION.findall(" ".join(words)) if name not in {*chain, "--help"}]


def _parsed(command: click.Command, words: list[str], parent: click.Context) -> list[str]:
    """What click itself says of the arguments; a missing one may be left out where a page only names an option.

    A command keeps the names of its help option from its first call: that of `parent`, as within `h2learn`.
    """
    try:
        command.make_context(command.name, list(words), parent, obj={"debug": False}).close()
    except (click.MissingParameter, click.exceptions.Exit):  # --help ends here
        return []
    except click.UsageError as error:
        return [error.format_message()]
    return []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands(page: Path) -> None:
    found = [
        f"{page.name}:{line}: {command}: {mistake}"
        for line, command in shown(page.read_text(encoding="utf-8"))
        for mistake in mistakes(command)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("h2learn run digits-conv --epochs 2", []),
        ("h2learn run [NETWORK|TRACE] [--epochs N]", []),
        ("h2learn list networks|presets", []),
        ("h2learn dram standards HBM2 > mine.yaml", []),
        ("h2learn list networks|machines", ["no command machines"]),
        ("h2learn learn", ["no command learn"]),
        ("h2learn run --times 3", ["no option --times"]),
        ("h2learn [--times 3]", ["no option --times"]),
        ("h2learn run --epochs two", ["Invalid value for '--epochs': 'two' is not a valid integer."]),
        ("h2learn list networks > names | sort", []),
        ("h2learn run a b", ["Got unexpected extra argument (b)"]),
        ("h2learn run 'a", ["No closing quotation"]),
        ("h2learn cosim --replay", ["Option '--replay' requires an argument."]),
        ("h2learn cosim --replay ...", []),
        ("h2learn train --capture-batch N", ["Invalid value for '--capture-batch': 'N' is not a valid integer."]),
    ],
)
def test_mistakes(command: str, words: list[str]) -> None:
    assert mistakes(command) == words


def test_what_is_a_command() -> None:
    text = "h2learn is\n    h2learn area \\\n      --json\n```\n$ h2learn list\nh2learn: error\n```\n`h2learn gpu X`\n"
    assert list(shown(text)) == [(2, "h2learn area --json"), (5, "h2learn list"), (8, "h2learn gpu X ...")]
