"""Numbers as people read them: three digits, a prefix, a unit."""

from __future__ import annotations

from collections.abc import Mapping

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
_PICO = (1e-12, "p")
PS_PER_S = 1e12
PJ_PER_J = 1e12


def short(value: float) -> str:
    """Three digits, or all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def quantity(value: float, unit: str) -> str:
    """A value in SI units with the prefix that leaves one to three digits before the point: 43.5 µs, 1.2 GB/s."""
    if value == 0:
        return f"0 {unit}"
    factor, prefix = next((entry for entry in _PREFIXES if abs(value) >= entry[0]), _PICO)
    return f"{short(value / factor)} {prefix}{unit}"


def binary_bytes(value: float) -> str:
    """Bytes with a binary prefix."""
    for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= factor:
            return f"{short(value / factor)} {unit}"
    return f"{value:,.0f} B"


def time(ps: float) -> str:
    """Picoseconds with the fitting unit."""
    return quantity(ps / PS_PER_S, "s")


def percent(share: float) -> str:
    """A share of one as a percentage."""
    return f"{share:.1%}"


def words(name: str) -> str:
    """The name of an engine, a stream or a buffer as words."""
    return name.replace("_", " ")


def limits(found: Mapping[str, float], unit: str, by: float = 1.0) -> str:
    """Low and high of a range."""
    return f"{quantity(found['low'] * by, unit)} to {quantity(found['high'] * by, unit)}"
