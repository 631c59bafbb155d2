"""What pages are made of: tables whose cells know the value that they are sorted by, figures, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tlm.report.page.numbers import binary_bytes, percent, quantity, short, time


class Number(NamedTuple):
    """What is shown, and what is compared."""

    text: str
    value: float


Cell = str | Number
Row = tuple[Cell, ...]
NONE = ""
"""A cell for what there is none of; sorted last."""


class Fact(NamedTuple):
    """One of the figures at the top: its name, the figure, what is to be added, and whether it is good or bad."""

    name: str
    text: str
    more: str = ""
    mood: str = ""


@dataclass(frozen=True)
class Table:
    """Title, headings (the first `texts` columns are text), rows, and what is to be known of them."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    texts: int = 1
    marks: tuple[str, ...] = ()
    """A word for each row, by which a script finds it."""


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


def settings(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key of nested data with its value as text."""
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value}"
