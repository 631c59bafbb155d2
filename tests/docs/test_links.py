"""Links and pictures of the documentation lead to something that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.examples import PAGES, ROOT

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_MENTION = re.compile(r"\bdocs/[\w./]*\w")


def prose(text: str) -> str:
    """The page without its code, in which brackets mean something else."""
    return _INLINE.sub("", _FENCED.sub("", text))


def anchors(text: str) -> set[str]:
    """The ids of a page's headings, as both GitHub and MkDocs make them of plain words."""
    plain = (re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in _HEADING.findall(text))
    return {re.sub(r"\s", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in _LINK.findall(prose(text)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name}: {link}"


def test_pages_that_are_named_exist() -> None:
    sources = [path for package in ("tlm", "rtl_models", "workloads", "docs") for path in (ROOT / package).rglob("*.*")]
    for path in sources:
        if path.suffix in (".py", ".md", ".yaml"):
            for name in _MENTION.findall(path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists(), f"{path.relative_to(ROOT)}: {name}"
