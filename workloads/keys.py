"""Checked access to the keys of a network file; every mistake names the key."""

from __future__ import annotations

import math
from typing import Any

from rtl_models.errors import InputError


def table(raw: object, where: str, allowed: set[str]) -> dict[str, Any]:
    """Return a table of none but the allowed keys; raises InputError for anything else."""
    if not isinstance(raw, dict):
        raise InputError("must be a table of keys", where, raw, ", ".join(sorted(allowed)))
    for key in raw:
        if key not in allowed:
            raise InputError("unknown key", where, key, ", ".join(sorted(allowed)))
    return raw


def whole(value: object, where: str, lowest: int, highest: int | None = None) -> int:
    """Return a whole number within its limits; raises InputError for anything else."""
    limits = f"a whole number >= {lowest}" if highest is None else f"a whole number {lowest}..{highest}"
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise InputError("wrong value", where, value if value is not None else "nothing", limits)
    if highest is not None and value > highest:
        raise InputError("wrong value", where, value, limits)
    return value


def positive(value: object, where: str) -> int:
    """Return a whole number of at least one; raises InputError for anything else."""
    return whole(value, where, 1)


def real(value: object, where: str) -> float:
    """Return a finite number; raises InputError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError("wrong value", where, value, "a finite number")
    return float(value)
