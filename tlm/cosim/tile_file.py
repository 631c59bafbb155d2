"""Failing tiles as files: everything that one differing row stream needs to run again, sealed, without its trace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import format_by_name
from rtl_models.lut_row import LutRowGeometry
from rtl_models.reference.row import RowTask, row_stimulus
from tlm.cosim.cases import Case
from tlm.cosim.stalls import Stalls
from workloads.sealed_file import Kind, open_sealed, write_sealed

TILE = Kind("tile", 1)
_TASK_ARRAYS = ("weights", "indices", "positions", "start", "emit", "double", "subtract")
_NUMBERS = ("k", "lanes", "depth", "build_latency_cycles", "adder_latency_cycles")


@dataclass(frozen=True)
class FailingTile:
    """A row stream whose bits or cycles differed: the row, the case, and what was seen then.

    `trace_digest` is the SHA-256 of the trace it was cut from, `seen` the words of the first difference.
    """

    geometry: LutRowGeometry
    case: Case
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
    geometry, case = tile.geometry, tile.case
    about = {
        "stream": case.name,
        "simulator": tile.simulator,
        "seen": tile.seen,
        "network": tile.network,
        "trace_digest": tile.trace_digest,
        "value_format": geometry.value_format.name,
        "sum_format": geometry.sum_format.name,
        "tree_registers": geometry.tree_registers,
    }
    about |= {name: getattr(geometry, name) for name in _NUMBERS}
    file.create_dataset("about", data=json.dumps(about))
    for name in _TASK_ARRAYS:
        file.create_dataset(f"task/{name}", data=getattr(case.task, name))
    if case.task.init is not None:
        file.create_dataset("task/init", data=case.task.init)
    file.create_dataset("expected/sums", data=case.sums)
    for group, arrays in (
        ("expected/transfers", case.transfers),
        ("valid", case.stalls.valid),
        ("ready", case.stalls.ready),
    ):
        file.require_group(group)
        for stream, array in arrays.items():
            file.create_dataset(f"{group}/{stream}", data=array)


def _parse(file: h5py.File) -> FailingTile:
    about: dict[str, Any] = json.loads(file["about"].asstr()[()])
    geometry = LutRowGeometry(
        value_format=format_by_name(about["value_format"]),
        sum_format=format_by_name(about["sum_format"]),
        tree_registers=bool(about["tree_registers"]),
        **{name: int(about[name]) for name in _NUMBERS},
    )
    arrays = {name: file[f"task/{name}"][()] for name in _TASK_ARRAYS}
    init = file["task/init"][()] if "init" in file["task"] else None
    case = Case(
        name=str(about["stream"]),
        task=RowTask(**arrays, init=init),
        stalls=Stalls(valid=_arrays(file["valid"]), ready=_arrays(file["ready"])),
        sums=file["expected/sums"][()],
        transfers=_arrays(file["expected/transfers"]),
    )
    row_stimulus(geometry, case.task)  # raises InputError where the task does not fit the row
    return FailingTile(
        geometry, case, str(about["simulator"]), str(about["seen"]), str(about["network"]), str(about["trace_digest"])
    )


def _arrays(group: h5py.Group) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(dataset[()]) for name, dataset in group.items()}
