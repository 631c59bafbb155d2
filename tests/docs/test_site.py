"""The site: every page has a place in it, its drawings are those of the script, and it is built without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.docs.examples import ROOT

PAGES = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
SETTINGS: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
_FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc=["']?(?:https?:)?//[^>]*|<link[^>]*rel=["']?(?:stylesheet|preconnect|icon)"""
    r"""["']?[^>]*href=["']?(?:https?:)?//[^>]*|url\((?:https?:)?//[^)]*""",
)


def in_navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from in_navigation(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(in_navigation(SETTINGS["nav"])) == PAGES


def test_modules_of_the_reference_exist() -> None:
    named = [
        name
        for page in (ROOT / "docs" / "reference").glob("*.md")
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(named) > 40
    for name in named:
        module, _, attribute = name.rpartition(".")
        is_module = importlib.util.find_spec(name) is not None if attribute.islower() else False
        assert is_module or hasattr(importlib.import_module(module), attribute), name


def test_drawings_are_those_of_the_script(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "draw_machine.py", tmp_path], check=True)
    committed = ROOT / "docs" / "images" / "machine"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in committed.iterdir()
    }


@pytest.mark.parametrize(
    ("page", "text", "made"),
    [
        ("a.md", "see docs/b.md and docs/c/d.md.", "see [b](b.md) and [c/d](c/d.md)."),
        ("c/a.md", "(docs/b.md)", "([b](../b.md))"),
        ("a.md", "`docs/b.md` [docs/b.md](b.md) [x](docs/b.md)", "`docs/b.md` [docs/b.md](b.md) [x](docs/b.md)"),
        ("a.md", "```\ndocs/b.md\n```\n", "```\ndocs/b.md\n```\n"),
    ],
)
def test_mentions_become_links(page: str, text: str, made: str) -> None:
    hooks = runpy.run_path(str(ROOT / "scripts" / "site_hooks.py"))
    found = hooks["on_page_markdown"](text, page=SimpleNamespace(file=SimpleNamespace(src_uri=page)))
    assert found == made


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<script src="https://x.y/z.js">', 1),
        ('<link rel="stylesheet" href="https://fonts.x/css">', 1),
        ('<img alt="a" src="//x.y/z.png">', 1),
        ("a { background: url(https://x.y/z.png) }", 1),
        ('<a href="https://x.y">', 0),
        ('<script src="assets/a.js"></script><link rel="stylesheet" href="assets/a.css">', 0),
    ],
)
def test_what_counts_as_fetched(text: str, found: int) -> None:
    assert len(_FETCHED.findall(text)) == found


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        assert (tmp_path / "site" / page.removesuffix(".md")).with_suffix(".html").is_file(), page
    assert (tmp_path / "site" / "search").is_dir()
    fetched = {
        f"{path.name}: {match}"
        for path in (tmp_path / "site").rglob("*")
        if path.suffix in (".html", ".css")
        for match in _FETCHED.findall(path.read_text(encoding="utf-8"))
    }
    assert not fetched
