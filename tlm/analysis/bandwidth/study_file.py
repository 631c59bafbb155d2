"""The result of a bandwidth study: one Parquet file, a row a point, with nested tables of what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rtl_models.errors import InputError
from workloads.atomic import replacing

FORMAT = "h2learn-bandwidth-study/1"


def _table_of(**columns: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct(list(columns.items())))


SCHEMA = pa.schema(
    [
        ("point", pa.int32()),
        ("network", pa.string()),
        ("trace_sha256", pa.string()),
        ("timesteps", pa.int32()),
        ("batch_images", pa.int32()),
        ("buffer_factor", pa.float64()),
        ("potentials", pa.string()),
        ("dram", pa.string()),
        ("dram_family", pa.string()),
        ("dram_unlimited", pa.bool_()),
        ("dram_peak_bytes_per_us", pa.int64()),
        ("error", pa.string()),
        ("step_ps", pa.int64()),
        ("step_cycles", pa.int64()),
        ("dram_read_bytes", pa.int64()),
        ("dram_written_bytes", pa.int64()),
        ("engines", _table_of(engine=pa.string(), state=pa.string(), reason=pa.string(), time_ps=pa.int64())),
        (
            "traffic",
            _table_of(
                engine=pa.string(),
                layer=pa.int32(),
                stream=pa.string(),
                read_bytes=pa.int64(),
                written_bytes=pa.int64(),
            ),
        ),
        (
            "work",
            _table_of(
                engine=pa.string(),
                layer=pa.int32(),
                operations=pa.int64(),
                time_ps=pa.int64(),
                dram_bytes=pa.int64(),
                peak_operations_per_us=pa.float64(),
            ),
        ),
        ("buffers", _table_of(buffer=pa.string(), capacity_bytes=pa.int64(), used_bytes=pa.int64())),
        ("occupancy_bin_ps", pa.int64()),
        ("occupancy", _table_of(part=pa.string(), share=pa.list_(pa.float64()))),
    ]
)
"""Columns of the file; those of a point that failed are null from `step_ps` on, and `error` is null where none did."""


def write_study(rows: list[dict[str, Any]], study: dict[str, Any], path: Path) -> None:
    """Write the rows in the order of their points, and `study` (what was asked) as metadata; the same bytes each time.

    Raises InputError if the folder cannot be written.
    """
    ordered = sorted(rows, key=lambda row: int(row["point"]))
    metadata = {"format": FORMAT, "study": json.dumps(study, sort_keys=True)}
    table = pa.Table.from_pylist(ordered, schema=SCHEMA.with_metadata(metadata))
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_study(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of a study and what was asked; raises InputError for a file that is not a study's."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError("cannot read the study", str(path), allowed="a Parquet file of a bandwidth study") from error
    metadata = table.schema.metadata or {}
    found = metadata.get(b"format", b"").decode()
    if found != FORMAT:
        raise InputError("not a bandwidth study", str(path), found, FORMAT)
    return table.to_pylist(), json.loads(metadata[b"study"])
