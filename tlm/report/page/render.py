"""Fills templates: style, scripts and data stand in the page itself, and every text is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import metadata, resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tlm.report.page import numbers

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""What a browser lets the page do: use what stands in it, fetch and send nothing."""

_PACKAGE = "tlm.report.page"


def render(template: str, scripts: Sequence[str] = (), **content: Any) -> str:
    """Return the page of `template` with `page.js` and the named scripts in it."""
    common = {
        "policy": POLICY,
        "style": _asset("page.css"),
        "scripts": [_asset(name) for name in ("page.js", *scripts)],
        "version": metadata.version("h2learn"),
    }
    return _environment().get_template(template).render(common | content)


def embedded(data: Any) -> Markup:
    """Return JSON that may stand inside a <script>: no `<` of any name can end it, or begin a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII only, so no line separators either
    return Markup(text.replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "embedded": embedded,
        "short": numbers.short,
        "quantity": numbers.quantity,
        "binary_bytes": numbers.binary_bytes,
        "time": numbers.time,
        "percent": numbers.percent,
        "words": numbers.words,
    }
    return environment


@cache
def _asset(name: str) -> Markup:
    """A file of ours that is put into the page as it is."""
    return Markup(resources.files(_PACKAGE).joinpath("assets", name).read_text(encoding="utf-8"))
