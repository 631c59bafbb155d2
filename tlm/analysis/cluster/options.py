"""The options of a scaling study, from texts and numbers as they are given to checked values."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from rtl_models.errors import InputError
from tlm.analysis.cluster.collective import LinkTiming

DEFAULT_CHIPS = ",".join(str(2**power) for power in range(13))


def parse_names(text: str, option: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a list such as ``ring,tree``; InputError for one that is unknown, or named twice."""
    names = tuple(name.strip() for name in text.split(","))
    for number, name in enumerate(names):
        if name not in known:
            raise InputError("unknown name in the list", option, name, ", ".join(known))
        if name in names[:number]:
            raise InputError("is named twice", option, name)
    return names


def link_timing(gb_per_s: float, latency_us: float) -> LinkTiming:
    """Return a link of `gb_per_s` 10^9 bytes a second and direction; InputError for what no link can have."""
    bytes_per_us = _whole(gb_per_s, 1000, "--link-gb-per-s", "a number above 0, in steps of 0.001", least=1)
    latency_ps = _whole(latency_us, 10**6, "--link-latency-us", "a number of 0 or more, in steps of 0.000001", least=0)
    return LinkTiming(bytes_per_us, latency_ps)


def _whole(value: float, factor: int, option: str, allowed: str, least: int) -> int:
    """Return `value` x `factor`; a float counts as the decimal number that it prints as."""
    try:
        scaled = Fraction(str(value)) * factor
    except ValueError:
        raise InputError("not a number", option, value, allowed) from None
    if scaled < least or scaled.denominator != 1:
        raise InputError("wrong value", option, value, allowed)
    return int(scaled)
