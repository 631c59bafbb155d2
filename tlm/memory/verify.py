"""Cycles of whole request traces here against those of the reference simulator, row by row of its CSV files.

How far a row may be off: 1 % without refresh; with refresh 2 %, HBM3 4 %, or twice what moving the refresh phase alone
moves that row in the reference simulator, whichever is more.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rtl_models.errors import InputError
from tlm.memory.controller import CONTROLLERS, ControllerConfig
from tlm.memory.reference import BASE_CSV, PHASE_SPREAD_CSV, TIMINGS_JSON, VARIANTS_CSV
from tlm.memory.reference.traces import GEOMETRY, TRACES, Requests, reference_trace
from tlm.memory.replay import replay
from tlm.memory.request_trace import read_request_trace
from tlm.memory.standard import DramStandard, list_standards, load_standard

SHIPPED = (BASE_CSV, VARIANTS_CSV)

COLUMNS = ("standard", "config", "trace", "requests", "cycles_total")
PRESETS = ("org_preset", "timing_preset")
"""Columns that, where a file has them, must name what the reference's standards are."""

NO_REFRESH_PERCENT = 1.0
REFRESH_PERCENT = {"HBM3": 4.0}
REFRESH_PERCENT_ELSE = 2.0
SPREAD_FACTOR = 2.0


@dataclass(frozen=True)
class ReferenceRow:
    """One run of the reference simulator, and the file and line where it stands."""

    where: str
    standard: str
    config: str
    trace: str
    requests: int
    cycles: float


@dataclass(frozen=True)
class RowVerdict:
    """How one row came out: cycles in clocks, differences in percent of the reference's."""

    row: ReferenceRow
    cycles: float
    difference_percent: float
    allowed_percent: float

    @property
    def good(self) -> bool:
        """Whether the difference is allowed."""
        return abs(self.difference_percent) <= self.allowed_percent


def verify_rows(rows: Iterable[ReferenceRow], folder: Path | None = None) -> Iterator[RowVerdict]:
    """Replay the trace of each row and compare the cycles.

    A trace is `folder`/STANDARD.TRACE.txt.gz, or made by the reference's generator without a folder. Raises InputError
    naming the row for a trace that is not there, is not well-formed or has another number of requests.
    """
    if folder is not None and not folder.is_dir():
        raise InputError("no such folder of traces", str(folder))
    traces: dict[tuple[str, str, int], Requests] = {}
    standards: dict[str, DramStandard] = {}
    spreads = phase_spreads()
    for row in rows:
        if row.standard not in standards:
            standards[row.standard] = load_standard(row.standard)
        standard, controller = standards[row.standard], CONTROLLERS[row.config]
        key = (row.standard, row.trace, row.requests)
        if key not in traces:
            traces[key] = _requests(row, standard, folder)
        cycles = replay(*traces[key], standard, controller).cycles_total
        difference_percent = 100 * (cycles - row.cycles) / row.cycles
        yield RowVerdict(row, cycles, difference_percent, allowed_percent(row, controller, spreads))


def allowed_percent(row: ReferenceRow, controller: ControllerConfig, spreads: Mapping[tuple[str, str], float]) -> float:
    """Return how far off a row may be; `spreads` in percent, by standard and trace, are of the configuration base."""
    if controller.refresh == "none":
        return NO_REFRESH_PERCENT
    allowed = REFRESH_PERCENT.get(row.standard, REFRESH_PERCENT_ELSE)
    if row.config != "base":
        return allowed
    return max(allowed, SPREAD_FACTOR * spreads.get((row.standard, row.trace), 0.0))


def phase_spreads() -> dict[tuple[str, str], float]:
    """Return the reference's phase spreads in percent by (standard, trace)."""
    with PHASE_SPREAD_CSV.open(encoding="utf-8", newline="") as stream:
        return {(row["standard"], row["trace"]): float(row["spread_percent"]) for row in csv.DictReader(stream)}


def read_reference(path: Path) -> list[ReferenceRow]:
    """Read a CSV file with the reference's columns; InputError naming the row for whatever is wrong in it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = reader.fieldnames or []
            for column in COLUMNS:
                if column not in header:
                    raise InputError(f"missing column {column!r}", str(path), ", ".join(header), ", ".join(COLUMNS))
            rows = [_row(fields, f"{path}:{reader.line_num}") for fields in reader]
    except OSError as error:
        raise InputError(f"cannot read the reference ({error.strerror or error})", str(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a CSV file ({error})", str(path)) from error
    if not rows:
        raise InputError("no rows", str(path))
    return rows


def _row(fields: Mapping[str | None, str | None], where: str) -> ReferenceRow:
    texts = {column: fields[column] or "" for column in COLUMNS}
    if None in fields or None in fields.values():
        raise InputError("not as many fields as the header", where)
    _check_name("standard", texts["standard"], _standards(), where)
    _check_name("configuration", texts["config"], CONTROLLERS, where)
    for column, expected in _presets().get(texts["standard"], {}).items():
        if fields.get(column, expected) != expected:
            raise InputError(f"another {column} than here", where, fields[column], expected)
    requests = _number("requests", texts["requests"], where)
    if not requests.is_integer():
        raise InputError("requests is not a whole number", where, texts["requests"])
    cycles = _number("cycles_total", texts["cycles_total"], where)
    return ReferenceRow(where, texts["standard"], texts["config"], texts["trace"], int(requests), cycles)


def _check_name(what: str, name: str, known: Iterable[str], where: str) -> None:
    if name not in known:
        raise InputError(f"unknown {what}", where, name, ", ".join(known))


def _number(column: str, text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (0 < number < math.inf):
        raise InputError(f"{column} is not a positive number", where, text)
    return number


@cache
def _standards() -> tuple[str, ...]:
    return tuple(list_standards())


@cache
def _presets() -> dict[str, dict[str, str]]:
    """Names of the simulator's presets behind each of the reference's standards."""
    standards = json.loads(TIMINGS_JSON.read_text(encoding="utf-8"))["standards"]
    return {name: {column: standard[column] for column in PRESETS} for name, standard in standards.items()}


def _requests(row: ReferenceRow, standard: DramStandard, folder: Path | None) -> Requests:
    if folder is None:
        _check_name("standard of the generated traces (--traces DIR gives others)", row.standard, GEOMETRY, row.where)
        _check_name("generated trace (--traces DIR gives others)", row.trace, TRACES, row.where)
        return reference_trace(row.standard, row.trace, row.requests)
    path = folder / f"{row.standard}.{row.trace}.txt.gz"
    if not path.is_file():
        raise InputError("no trace for this row", row.where, None, str(path))
    requests = read_request_trace(path, standard.burst_bytes, standard.capacity_bytes)
    if len(requests[0]) != row.requests:
        what = f"the row has another number of requests than its trace {path}"
        raise InputError(what, row.where, row.requests, str(len(requests[0])))
    return requests
