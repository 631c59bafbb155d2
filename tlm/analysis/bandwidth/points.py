"""The points of a bandwidth study: every DRAM with every buffer size, number of timesteps and batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

from rtl_models.errors import InputError
from tlm.analysis.bandwidth.dram_choice import UNLIMITED, DramChoice
from tlm.config import Config, check_config, load_config
from tlm.trace_config import config_for_trace
from workloads.record import Arithmetic

DEFAULT_FACTORS = "0.25,0.5,1,2"
STORE, RECOMPUTE = "store", "recompute"
SCALED_BUFFERS = ("spikes", "weights", "potentials", "gradients", "partial_sums")
"""Buffers that hold tensors. The others hold a tile on its way, whatever the network: they keep their size."""

Value = TypeVar("Value", int, Fraction, str)


@dataclass(frozen=True)
class Workload:
    """One training step that is simulated: timesteps and batch."""

    timesteps: int
    batch: int


@dataclass(frozen=True)
class Point:
    """One simulation of a study."""

    number: int
    workload: Workload
    buffer_factor: Fraction
    potentials: str
    dram: DramChoice
    settings: dict[str, Any] = field(compare=False)
    """The configuration as plain data; it may be one that cannot be."""

    @property
    def name(self) -> str:
        """What tells the point from the others, for messages."""
        work = self.workload
        again = ", recomputed" if self.potentials == RECOMPUTE else ""
        factor = float(self.buffer_factor)
        return f"{self.dram.label}, buffers x{factor:g}, T {work.timesteps}, batch {work.batch}{again}"


def parse_whole(text: str, option: str) -> tuple[int, ...]:
    """Return the whole numbers of a list such as ``2,4,6``; InputError for anything else, below 1, and twice."""
    return _parse_list(text, option, int, "whole numbers, 1 or more, e.g. 2,4,6")


def parse_factors(text: str, option: str = "--buffers") -> tuple[Fraction, ...]:
    """Return the factors of a list such as ``0.25,0.5,1``; InputError for anything else, 0 or less, and twice."""
    return _parse_list(text, option, Fraction, "numbers above 0, e.g. 0.25,0.5,1,2")


def parse_potentials(text: str) -> tuple[str, ...]:
    """Return the ways of a list such as ``store,recompute``; InputError for anything else, and twice."""
    return _parse_list(text, "--potentials", _way, f"{STORE}, {RECOMPUTE}")


def _way(text: str) -> str:
    if text not in (STORE, RECOMPUTE):
        raise ValueError(text)
    return text


def _parse_list(text: str, option: str, kind: Callable[[str], Value], allowed: str) -> tuple[Value, ...]:
    values: list[Value] = []
    for entry in text.split(","):
        try:
            value = kind(entry.strip())
        except (ValueError, ZeroDivisionError) as error:
            raise InputError("wrong value in the list", option, entry.strip(), allowed) from error
        if not isinstance(value, str) and value <= 0:
            raise InputError("wrong value in the list", option, entry.strip(), allowed)
        if value in values:
            raise InputError("is named twice", option, entry.strip())
        values.append(value)
    return tuple(values)


def make_points(
    config: Config,
    workloads: tuple[Workload, ...],
    factors: tuple[Fraction, ...],
    drams: tuple[DramChoice, ...],
    potentials: tuple[str, ...] | None = None,
) -> list[Point]:
    """Return the grid, DRAM fastest, with a point of unlimited bandwidth after the others of each curve.

    Where `potentials` is None the configured way is taken, and the other one too for the buffers nearest to x1.
    """
    both = (config.potentials, RECOMPUTE if config.potentials == STORE else STORE)
    nearest = min(factors, key=lambda factor: abs(factor - 1))
    grid = [
        (workload, factor, way, dram)
        for workload in workloads
        for factor in factors
        for way in potentials or (both if factor == nearest else both[:1])
        for dram in (*drams, UNLIMITED)
    ]
    return [Point(number, *which, _settings(config, *which[1:])) for number, which in enumerate(grid)]


def base_config(name: str | None, overrides: tuple[str, ...], arithmetic: Arithmetic | None) -> Config:
    """Return the configuration that a study starts from; `arithmetic` is that of a trace, if one was given."""
    if arithmetic is not None:
        return config_for_trace(arithmetic, name, overrides)
    return load_config(name or "h2learn", overrides)


def config_of(point: Point) -> Config:
    """Return the point's configuration; InputError for one that cannot be."""
    return check_config(point.settings, point.name)


def _settings(config: Config, factor: Fraction, potentials: str, dram: DramChoice) -> dict[str, Any]:
    settings = config.model_dump(mode="json") | {"potentials": potentials}
    for name in SCALED_BUFFERS:
        key = f"{name}_bytes"
        settings["buffers"][key] = int(settings["buffers"][key] * factor)
    for override in dram.overrides:
        key, _, value = override.partition("=")
        settings["dram"][key.removeprefix("dram.")] = int(value) if value.isdecimal() else value
    return settings
