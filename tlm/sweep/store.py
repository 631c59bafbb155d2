"""The result of a sweep: one Parquet file, a row a point; the same spec gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rtl_models.errors import InputError
from tlm.sweep.spec import WORKLOAD_KEYS, SweepSpec
from workloads.atomic import replacing

FORMAT = "h2learn-sweep/1"
STORE = "sweep.parquet"
GOOD, FAILED = "good", "failed"
Row = dict[str, Any]


def _table_of(**columns: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct(list(columns.items())))


POINT_COLUMNS = (
    ("point", pa.int32()),
    ("status", pa.string()),
    ("error", pa.string()),
    ("on_front", pa.bool_()),
    ("network", pa.string()),
    ("trace", pa.string()),
    ("trace_sha256", pa.string()),
    ("timesteps", pa.int32()),
    ("batch", pa.int32()),
    ("images", pa.int32()),
)
"""Columns before those of the keys that are varied."""
RESULT_COLUMNS = (
    ("time_s", pa.float64()),
    ("energy_j", pa.float64()),
    ("energy_j_low", pa.float64()),
    ("energy_j_high", pa.float64()),
    ("area_mm2", pa.float64()),
    ("area_mm2_low", pa.float64()),
    ("area_mm2_high", pa.float64()),
    ("time_ps", pa.int64()),
    ("cycles", pa.int64()),
    ("dram_read_bytes", pa.int64()),
    ("dram_written_bytes", pa.int64()),
    ("busy", _table_of(engine=pa.string(), share=pa.float64())),
    ("engines", _table_of(engine=pa.string(), state=pa.string(), reason=pa.string(), time_ps=pa.int64())),
)
"""Columns after them; null where the point failed."""


def config_keys(spec: SweepSpec) -> list[str]:
    """Return the keys of the configuration that are varied: each is a column of its own."""
    return [key for key in spec.keys if key not in WORKLOAD_KEYS]


def write_store(rows: Sequence[Row], spec: SweepSpec, path: Path) -> None:
    """Write the rows in their order; raises InputError if the folder cannot be written."""
    varied = [(key, _type_of([row[key] for row in rows])) for key in config_keys(spec)]
    about = {
        "format": FORMAT,
        "h2learn": metadata.version("h2learn"),
        "spec": json.dumps(spec.to_dict()),
        "keys": json.dumps(spec.keys),
        "objectives": json.dumps(spec.objectives),
    }
    schema = pa.schema([*POINT_COLUMNS, *varied, *RESULT_COLUMNS], metadata=about)
    plain = [row | {key: _word(row[key]) if kind == pa.string() else row[key] for key, kind in varied} for row in rows]
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(plain, schema=schema), temporary, compression="zstd")


def read_store(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of a sweep and what is known of it: `spec`, `keys`, `objectives`, version `h2learn`.

    Raises InputError for a file that is not a sweep's, or one of another version of the format.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError("cannot read the sweep", str(path), allowed="a Parquet file of h2learn sweep") from error
    about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if about.get("format") != FORMAT:
        raise InputError("not a sweep of this version", str(path), about.get("format"), FORMAT)
    known: dict[str, Any] = {key: json.loads(about[key]) for key in ("spec", "keys", "objectives")}
    return table.to_pylist(), known | {"h2learn": about["h2learn"]}


def _type_of(values: Sequence[Any]) -> pa.DataType:
    """The type of a key's column: what all its values are, words where they are of several kinds."""
    kinds = {type(value) for value in values if value is not None}
    return {frozenset({int}): pa.int64(), frozenset({bool}): pa.bool_()}.get(frozenset(kinds), pa.string())


def _word(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
