"""Failing tiles as files: everything that one differing stream needs to run again, sealed, without its trace."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import FloatFormat, format_by_name
from tlm.cosim.cases import Case
from tlm.cosim.stalls import Stalls
from tlm.cosim.units import hardware_by_name
from workloads.sealed_file import Kind, open_sealed, write_sealed

TILE = Kind("tile", 2)


@dataclass(frozen=True)
class Tile:
    """A stream for the unit of a geometry: what goes in, and what must come out."""

    geometry: Any
    case: Case


@dataclass(frozen=True)
class FailingTile(Tile):
    """A stream whose bits or cycles differed, and what was seen then.

    `trace_digest` is the SHA-256 of the trace it was cut from, `seen` the words of the first difference.
    """

    simulator: str
    seen: str
    network: str
    trace_digest: str


def write_tile(tile: FailingTile, path: str | Path) -> str:
    """Write `tile` to `path`, whole or not at all, and return the file's SHA-256 in hex.

    Raises InputError if the folder cannot be written.
    """
    return write_sealed(Path(path), TILE, lambda file: _fill(file, tile))


def read_tile(path: str | Path) -> FailingTile:
    """Read a tile that `write_tile` wrote; raises InputError for a file that is damaged or something else."""
    file, _ = open_sealed(Path(path), TILE)
    with file:
        try:
            return _parse(file)
        except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            what = f"does not hold what schema {TILE.schema} of a tile demands ({error})"
            raise InputError(what, str(path)) from error


def _fill(file: h5py.File, tile: FailingTile) -> None:
    case = tile.case
    about = {
        "unit": case.hardware.name,
        "geometry": {name: _plain(value) for name, value in vars(tile.geometry).items()},
        "stream": case.name,
        "simulator": tile.simulator,
        "seen": tile.seen,
        "network": tile.network,
        "trace_digest": tile.trace_digest,
    }
    file.create_dataset("about", data=json.dumps(about))
    _write(file, "task", vars(case.task))
    _write(file, "expected/results", case.results)
    _write(file, "expected/transfers", case.transfers)
    _write(file, "valid", case.stalls.valid)
    _write(file, "ready", case.stalls.ready)


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, FloatFormat) else value


def _write(file: h5py.File, group: str, arrays: dict[str, Any]) -> None:
    """Write arrays, and groups of them; what is None is left out."""
    file.require_group(group)
    for name, value in arrays.items():
        if isinstance(value, dict):
            _write(file, f"{group}/{name}", value)
        elif value is not None:
            file.create_dataset(f"{group}/{name}", data=value)


def _parse(file: h5py.File) -> FailingTile:
    about: dict[str, Any] = json.loads(file["about"].asstr()[()])
    hardware = hardware_by_name(str(about["unit"]), "tile: unit")
    geometry = hardware.geometry_type(**_geometry_values(hardware.geometry_type, about["geometry"]))
    case = Case(
        name=str(about["stream"]),
        hardware=hardware,
        task=hardware.task_type(**_read(file["task"])),
        stalls=Stalls(valid=_read(file["valid"]), ready=_read(file["ready"])),
        results=_read(file["expected/results"]),
        transfers=_read(file["expected/transfers"]),
    )
    case.stimulus(geometry)  # raises InputError where the task does not fit the unit
    return FailingTile(
        geometry, case, str(about["simulator"]), str(about["seen"]), str(about["network"]), str(about["trace_digest"])
    )


def _geometry_values(kind: Any, plain: dict[str, Any]) -> dict[str, Any]:
    """The fields of a geometry from plain data; its formats go by their names."""
    return {
        field.name: format_by_name(plain[field.name]) if "format" in field.name else plain[field.name]
        for field in fields(kind)
    }


def _read(group: h5py.Group) -> dict[str, Any]:
    return {name: _read(entry) if isinstance(entry, h5py.Group) else _array(entry) for name, entry in group.items()}


def _array(dataset: h5py.Dataset) -> NDArray[Any]:
    return np.asarray(dataset[()])
