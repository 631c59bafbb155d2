"""A table of a page: cells are texts, or texts with the value that they are sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tlm.report.page.numbers import binary_bytes, percent, quantity, short, time


class Number(NamedTuple):
    """What is shown, and what is compared."""

    text: str
    value: float


Cell = str | Number
Row = tuple[Cell, ...]
NONE = ""
"""A cell for what there is none of; sorted last."""


@dataclass(frozen=True)
class Table:
    """Title, headings (the first `texts` columns are text), rows, and what is to be known of them."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    texts: int = 1


def count(value: int) -> Number:
    """A whole number with its thousands set apart."""
    return Number(f"{value:,}", value)


def figure(value: float) -> Number:
    """A number of three digits."""
    return Number(short(value), value)


def share(value: float | None) -> Cell:
    """A share of one, or none."""
    return NONE if value is None else Number(percent(value), value)


def duration(ps: int) -> Number:
    """A time."""
    return Number(time(ps), ps)


def amount(value: float, unit: str) -> Number:
    """A quantity in SI units."""
    return Number(quantity(value, unit), value)


def size(value: int) -> Number:
    """Bytes."""
    return Number(binary_bytes(value), value)
