"""Reads the examples out of a page of the documentation, runs them, and says where a page is wrong.

* ```` ```python ```` blocks of a page run in one namespace, in a folder of their own; the value of a last expression is
  shown as a notebook shows it. What they print must stand in the block after it, ```` ```text title="Output" ````.
* ```` ```console ```` blocks hold commands after ``$`` and what they print; ``> FILE`` at the end is understood.
* A block with another title that has a suffix is a file: it is written under that name and not run.
* ``...`` in an output stands for anything, as in doctest.
* ``<!-- example: slow -->`` before a block takes it out of the ordinary test run; ``verilator`` wants that installed;
  ``not run: WHY`` is for what needs files or hardware that no test has.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlm.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
OUTPUT = "Output"
SLOW, VERILATOR, NOT_RUN = "slow", "verilator", "not run"
_FENCE = re.compile(
    r"(?:^<!-- example: (?P<mark>[^\n]*?) -->\n+)?^```(?P<info>[^`\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_TITLE = re.compile(r'title="([^"]*)"')


@dataclass(frozen=True)
class Example:
    """A block of a page: `kind` is its language, or ``file`` for one that is written; `line` is that of its text."""

    page: Path
    line: int
    kind: str
    code: str
    title: str = ""
    mark: str = ""
    output: str | None = None
    output_line: int = 0

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples(page: Path) -> list[Example]:
    """All blocks of `page` that are run, or written for others to use; outputs belong to the block before them."""
    text = page.read_text(encoding="utf-8")
    found: list[Example] = []
    end = 0
    for match in _FENCE.finditer(text):
        language, *_ = match["info"].split() or [""]
        title = _TITLE.search(match["info"])
        named = title[1] if title else ""
        line = text.count("\n", 0, match.start("code")) + 1
        if named == OUTPUT:
            if (
                not found
                or found[-1].kind != "python"
                or found[-1].output is not None
                or text[end : match.start()].strip()
            ):
                raise ValueError(f"{page}:{line}: an output must follow a python block")
            found[-1] = Example(**{**vars(found[-1]), "output": match["code"], "output_line": line})
        elif "." in named or language in ("python", "console"):
            kind = "file" if "." in named else language
            found.append(Example(page, line, kind, match["code"], named, match["mark"] or ""))
        end = match.end()
    return found


def commands(example: Example) -> Iterator[tuple[int, str, str]]:
    """The commands of a console block: line in the block, command, what it prints."""
    parts = re.split(r"^\$ ", example.code, flags=re.MULTILINE)
    if parts[0].strip():
        raise ValueError(f"{example.where}: a console block begins with '$ '")
    line = 0
    for part in parts[1:]:
        command = re.match(r"(?:[^\n]*\\\n)*[^\n]*\n", part)
        assert command is not None
        yield line, command[0].replace("\\\n", " ").strip(), part[command.end() :]
        line += part.count("\n")


def run_page(page: Path, folder: Path, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Run the examples of `page` in `folder` but those whose mark is in `leave_out`; return what differs."""
    namespace: dict[str, Any] = {"__name__": "__example__"}
    wrong: list[str] = []
    with contextlib.chdir(folder):
        for example in examples(page):
            if example.mark in leave_out or example.mark.startswith(NOT_RUN):
                continue
            for part, got in _run(example, namespace):
                if not same(part, got):
                    wrong.append(f"{example.where}: expected\n{part}got\n{got}")
    return wrong


def same(want: str, got: str) -> bool:
    """Whether an output is the expected one: blanks at the ends of lines do not count, ``...`` is anything."""
    return doctest.OutputChecker().check_output(_trimmed(want), _trimmed(got), doctest.ELLIPSIS)


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def _run(example: Example, namespace: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Run one block; give pairs of expected and real output."""
    if example.kind == "file":
        Path(example.title).write_text(example.code, encoding="utf-8")
    elif example.kind == "python":
        yield example.output or "", run_python(example, namespace)
    else:
        for _, command, output in commands(example):
            yield output, run_command(command, example.where)


def run_python(example: Example, namespace: dict[str, Any]) -> str:
    """Run a block as a notebook does, and return what it shows."""
    tree = ast.parse(example.code, example.where)
    ast.increment_lineno(tree, example.line - 1)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        exec(compile(tree, example.where, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), example.where, "eval"), namespace)
            if value is not None:
                shown.write(f"{value!r}\n")
    return shown.getvalue()


def run_command(command: str, where: str) -> str:
    """Run `h2learn` in this process, or pytest in one of its own, and return what it prints."""
    program, *arguments = shlex.split(command, comments=True)
    if arguments[-2:-1] == [">"]:
        Path(arguments[-1]).write_text(run_command(shlex.join([program, *arguments[:-2]]), where), encoding="utf-8")
        return ""
    if program == "pytest":
        line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tlm.testing.plugin", "-q", *arguments]
        alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins take longer to load than to test
        return subprocess.run(line, capture_output=True, text=True, check=True, env=alone).stdout
    if program != "h2learn":
        raise ValueError(f"{where}: cannot run {program}, only h2learn and pytest")
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(arguments)
    if code:
        raise ValueError(f"{where}: {command}: exit code {code}: {said.getvalue()}")
    return shown.getvalue()
