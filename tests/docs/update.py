"""`python -m tests.docs.update [PAGE...]`: writes into the pages what their examples print today, slow ones included.

An output that still fits stays as it is, with its ellipses. Read the difference before you commit it.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.docs.examples import NOT_RUN, OUTPUT, PAGES, Example, commands, examples, run_command, run_python, same
from tests.docs.prepared import prepare


def updated(page: Path, folder: Path) -> str:
    """Return the text of `page` with the outputs of today; its examples run in `folder`."""
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    changes: list[tuple[int, int, str]] = []
    namespace: dict[str, Any] = {"__name__": "__example__"}
    with contextlib.chdir(folder):
        for example in examples(page):
            if example.mark.startswith(NOT_RUN):
                continue
            if example.kind == "file":
                Path(example.title).write_text(example.code, encoding="utf-8")
            elif example.kind == "python":
                changes += _python(example, run_python(example, namespace))
            else:
                changes += _console(example)
    for start, end, text in sorted(changes, reverse=True):
        lines[start:end] = [text]
    return "".join(lines)


def _python(example: Example, got: str) -> list[tuple[int, int, str]]:
    if same(example.output or "", got):
        return []
    got = got.rstrip("\n") + "\n"
    if example.output is None:
        after = example.line + example.code.count("\n")  # the line of the closing fence
        return [(after, after, f'\n```text title="{OUTPUT}"\n{got}```\n')]
    start = example.output_line - 1
    return [(start, start + example.output.count("\n"), got)]


def _console(example: Example) -> list[tuple[int, int, str]]:
    blocks = []
    for _, command, output in commands(example):
        got = run_command(command, example.where)
        trimmed = "".join(f"{line.rstrip()}\n" for line in got.rstrip("\n").splitlines())
        blocks.append(f"$ {command}\n{output if same(output, got) else trimmed}")
    start = example.line - 1
    return [(start, start + example.code.count("\n"), "".join(blocks))]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        source = Path(made)
        prepare(source)
        for name in sys.argv[1:] or [str(page) for page in PAGES]:
            with tempfile.TemporaryDirectory() as folder:
                prepare(Path(folder), source)
                chosen = Path(name).resolve()
                chosen.write_text(updated(chosen, Path(folder)), encoding="utf-8")
