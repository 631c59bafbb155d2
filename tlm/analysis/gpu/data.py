"""Reading the tables of the GPU baseline: one place that turns YAML into checked values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from rtl_models.errors import InputError


@cache
def package_yaml(name: str) -> Any:
    """Return the content of a YAML file that comes with this package; read once, not to be changed."""
    return yaml.safe_load(resources.files("tlm").joinpath("analysis", "gpu", name).read_text(encoding="utf-8"))


def read_yaml(path: Path) -> object:
    """Return the content of a user's YAML file. Raises InputError where it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file ({error})", str(path)) from error
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML ({error})", str(path)) from error


def table(raw: object, where: str, required: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """Return `raw` as a table with these keys. Raises InputError for anything else."""
    allowed = ", ".join([*required, *optional])
    if not isinstance(raw, dict):
        raise InputError("must be a table of keys", where, raw, allowed)
    for key in raw:
        if key not in required and key not in optional:
            raise InputError("unknown key", where, key, allowed)
    for key in required:
        if key not in raw:
            raise InputError(f"the key {key} is missing", where, sorted(map(str, raw)), allowed)
    return raw


def number(value: object, where: str, lowest: float = 0.0, above: bool = False) -> float:
    """Return a finite number >= `lowest` (> `lowest` with `above`). Raises InputError for anything else."""
    good = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    if not good or value < lowest or (above and value == lowest):  # type: ignore[operator]  # a number if good
        raise InputError("wrong value", where, value, f"a number {'>' if above else '>='} {lowest:g}")
    return float(value)  # type: ignore[arg-type]


def whole(value: object, where: str, lowest: int = 1) -> int:
    """Return a whole number >= `lowest`. Raises InputError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise InputError("wrong value", where, value, f"a whole number >= {lowest}")
    return value
