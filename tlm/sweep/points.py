"""The points of a sweep, and what each stands for: a configuration and the workload that it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from rtl_models.errors import InputError
from tlm.sweep.spec import (
    BATCH,
    LARGEST_SWEEP,
    NETWORK,
    TIMESTEPS,
    TRACE,
    WORKLOAD_KEYS,
    SweepSpec,
    Value,
    Values,
)


@dataclass(frozen=True)
class Workload:
    """A training step: of a trace, whose timesteps and batch are its own, or of a network that is trained for it."""

    trace: str | None
    network: str | None
    timesteps: int | None
    batch: int | None


@dataclass(frozen=True)
class Point:
    """One point of a sweep, numbered in the order of the spec."""

    number: int
    values: Values
    workload: Workload

    @property
    def name(self) -> str:
        """What tells the point from the others, for messages."""
        return ", ".join(f"{key} {value}" for key, value in self.values.items()) or "the configuration as it is"

    @property
    def settings(self) -> Values:
        """The values that belong to the configuration."""
        return {key: value for key, value in self.values.items() if key not in WORKLOAD_KEYS}


def listed_points(spec: SweepSpec) -> list[Point]:
    """Return the points of a grid, the last key fastest, or of a list; a search has none beforehand.

    Raises InputError for too many, and for a workload that cannot be.
    """
    if spec.points is not None:
        chosen = [dict(values) for values in spec.points]
    else:
        axes = spec.grid or {}
        size = math.prod(len(values) for values in axes.values())
        if size > LARGEST_SWEEP:
            raise InputError("the grid has too many points", "grid", size, f"at most {LARGEST_SWEEP}")
        chosen = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return [Point(number, values, workload_of(spec, values)) for number, values in enumerate(chosen)]


def workload_of(spec: SweepSpec, values: Values) -> Workload:
    """Return the workload of a point; raises InputError where it is none, or two, or has a value of a wrong kind."""
    given = spec.workload
    trace, network = _word(values, TRACE), _word(values, NETWORK)
    if trace is None and network is None:
        trace, network = given.trace, given.network
    if (trace is None) == (network is None):
        got = "neither" if trace is None else "both"
        raise InputError("one of trace and network is needed for every point", "workload", got)
    timesteps, batch = _whole(values, TIMESTEPS), _whole(values, BATCH)
    if trace is None:
        return Workload(None, network, timesteps or given.timesteps, batch or given.batch)
    for key in (TIMESTEPS, BATCH):
        if key in values:
            what = "a trace has its own; give a network to have others trained"
            raise InputError(what, key, values[key])
    return Workload(trace, None, None, None)


def _word(values: Values, key: str) -> str | None:
    value = values.get(key)
    if value is None or isinstance(value, str):
        return value
    raise InputError("wrong value", key, value, f"the name or the file of a {key}")


def _whole(values: Values, key: str) -> int | None:
    value: Value | None = values.get(key)
    if value is None or (type(value) is int and value >= 1):
        return value
    raise InputError("wrong value", key, value, "a whole number >= 1")
