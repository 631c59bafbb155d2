"""The tables of constants in the docs are those of the table that the models read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tlm.analysis.technology.constants import Constant, constants

DOCS = Path(__file__).resolve().parents[3] / "docs"
ROW = re.compile(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (\S+) \| ([^|]+) \| ([^|]+) \| (\w+) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, ...]]:
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("area.md", "energy.md"))
    return {match[1]: match.groups()[1:] for match in ROW.finditer(text)}


def shown(value: float) -> str:
    return f"{value:g}"


@pytest.mark.parametrize("constant", constants().constants, ids=lambda constant: constant.name)
def test_the_docs_show_every_constant(constant: Constant) -> None:
    values = (shown(constant.low), shown(constant.nominal), shown(constant.high))
    assert rows()[constant.name] == (*values, constant.unit, constant.node, constant.verified)


def test_the_docs_show_no_other() -> None:
    assert set(rows()) == {constant.name for constant in constants().constants}
