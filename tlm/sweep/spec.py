"""The file of a sweep: what is varied, on what, and for which objectives; checked before anything runs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field

from rtl_models.errors import InputError
from tlm.config import FrozenTable, NotNegative, Positive, check_key, check_table

Value = bool | int | str
"""What a key of a configuration may be set to."""
Values = dict[str, Value]
"""One point: values by key."""
Objective = Literal["time_s", "energy_j", "area_mm2"]
NETWORK, TRACE, TIMESTEPS, BATCH = "network", "trace", "timesteps", "batch"
WORKLOAD_KEYS = (NETWORK, TRACE, TIMESTEPS, BATCH)
"""Keys that may be varied beside those of a configuration."""
LARGEST_SWEEP = 100_000
MODES = ("grid", "list", "search")
_SPAN = "from, to and perhaps step"


def _value(raw: object) -> Value:
    if not isinstance(raw, bool | int | str):
        raise ValueError(f"must be a whole number, a word, true or false, got {raw!r}")
    return raw


def _axis(raw: object) -> tuple[Value, ...]:
    """The values of a key: a list of them, or a range of whole numbers, both ends included."""
    if isinstance(raw, dict):
        if not {"from", "to"} <= raw.keys() <= {"from", "to", "step"}:
            raise ValueError(f"a range has the keys {_SPAN}, got {', '.join(map(str, raw)) or 'none'}")
        if not all(type(bound) is int for bound in raw.values()) or raw.get("step", 1) < 1:
            raise ValueError(f"{_SPAN} are whole numbers, step at least 1, got {raw}")
        span = range(raw["from"], raw["to"] + 1, raw.get("step", 1))
        if span[:LARGEST_SWEEP] != span:
            raise ValueError(f"has more than {LARGEST_SWEEP} values, got {raw}")
        raw = list(span)
    if not isinstance(raw, list | tuple):
        raise ValueError(f"must be a list of values, or a range with the keys {_SPAN}, got {raw!r}")
    if not raw:
        raise ValueError("has no values")
    values = tuple(_value(entry) for entry in raw)
    if len({(type(value), value) for value in values}) < len(values):
        raise ValueError(f"names a value twice, got {list(values)}")
    return values


Axis = Annotated[tuple[Any, ...], BeforeValidator(_axis)]
Axes = Annotated[dict[str, Axis], Field(min_length=1)]
Entry = Annotated[Any, BeforeValidator(_value)]


class WorkloadSpec(FrozenTable):
    """What is trained or read: a trace, or a network with the training whose last step is captured.

    `images`: the step of its first images only.
    """

    trace: str | None = None
    network: str | None = None
    steps: Positive = 1
    batch: Positive = 32
    timesteps: Positive | None = None
    seed: NotNegative = 0
    images: Positive | None = None


class SearchSpec(FrozenTable):
    """A search of `points` points in rounds of `population`, whatever the number of processes."""

    space: Axes
    points: Annotated[int, Field(ge=1, le=LARGEST_SWEEP)]
    population: Annotated[int, Field(ge=2, le=LARGEST_SWEEP)] = 16
    seed: NotNegative = 0


class SweepSpec(FrozenTable):
    """The whole file; docs/sweep.md describes every key."""

    name: str = "sweep"
    config: str | None = None
    overrides: dict[str, Any] = Field(default={}, alias="set")
    workload: WorkloadSpec = WorkloadSpec()
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)] = ("time_s", "energy_j", "area_mm2")
    grid: Axes | None = None
    points: Annotated[tuple[dict[str, Entry], ...], Field(min_length=1)] | None = Field(default=None, alias="list")
    search: SearchSpec | None = None

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """All keys that are varied, in the order of the file."""
        if self.points is not None:
            return tuple(dict.fromkeys(key for point in self.points for key in point))
        return tuple(self.grid if self.search is None else self.search.space)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data with the keys of its file, every default filled in."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def load_spec(path: Path) -> SweepSpec:
    """Read and check the file of a sweep; raises InputError naming the key, the value got and the values allowed."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the spec of the sweep ({error})", str(path)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"not valid YAML ({error})", str(path)) from error
    return parse_spec(raw, str(path))


def parse_spec(raw: Any, where: str) -> SweepSpec:
    """Check the content of a sweep's file, as `load_spec` does."""
    if not isinstance(raw, dict):
        raise InputError("must be a table of keys", where, raw, ", ".join(_names()))
    raw = {
        key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()
    }  # a list is no tuple to a strict table
    spec = check_table(SweepSpec, raw, where)
    given = [mode for mode in MODES if mode in spec.to_dict()]
    if len(given) != 1:
        raise InputError("must have exactly one of grid, list and search", where, ", ".join(given) or "none")
    for key in spec.keys:
        if key not in WORKLOAD_KEYS:
            check_key(key, f"{where}: {given[0]}")
    if len(set(spec.objectives)) < len(spec.objectives):
        raise InputError("names an objective twice", f"{where}: objectives", list(spec.objectives))
    return spec


def _names() -> list[str]:
    return [field.alias or name for name, field in SweepSpec.model_fields.items()]
