"""The table of sparsity: plain counts, timesteps that add up to layers, files with units."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import workloads.trace_statistics
from rtl_models.errors import InputError
from tests.workloads.synthetic import random_record, small_network
from workloads.exporters.sparsity import COLUMNS, sparsity_rows, write_sparsity
from workloads.record import StepRecord
from workloads.trace_file import Trace, open_trace, write_trace

SOURCES = {"bytes": {"shape": [4, 5, 3], "exponent": 4}, "spikes": {"shape": [4, 5, 3], "coding": "spikes"}}
PAGE = Path(__file__).parents[3] / "docs" / "export.md"


def thin(record: StepRecord) -> StepRecord:
    """Make positions and channels of the first layer empty."""
    layer = record.layers[0]
    assert layer.spikes is not None
    assert layer.masks is not None
    layer.spikes[..., :2] = 0
    layer.spikes[0, ..., 4] = 0
    layer.spikes[:, 1:, ..., 3] = 0  # fires in the first image alone
    layer.spikes[:, 0, 0, 0, 3] = 1
    layer.masks[1, :, 1] = 0
    layer.gradients[2, 0, 0, 0] = 0
    record.inputs[..., 0, 2, :] = 0
    return record


@pytest.mark.parametrize("source", SOURCES)
def test_shares_are_plain_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(workloads.trace_statistics, "_SLICE_BYTES", 2000)  # several slices
    record = thin(random_record(small_network(input=SOURCES[source]), 5))
    write_trace(record, tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        first, last = sparsity_rows(trace)
        steps = list(sparsity_rows(trace, by_timestep=True))
        sparsity = trace.sparsity(0)
    layer = record.layers[0]
    assert layer.spikes is not None
    assert layer.masks is not None
    values = record.inputs
    bits = np.unpackbits(values.view(np.uint8)) if source == "bytes" else values
    same = pytest.approx
    assert first["input_nonzero"] == same((values != 0).mean())
    assert first["input_bits"] == same(bits.mean())
    assert first["input_empty_positions"] == same(1 - values.any(axis=-1).mean())
    assert first["zero_index_groups"] == same(sparsity.zero_index_groups)
    assert first["firing_rate"] == last["input_nonzero"] == last["input_bits"] == same(layer.spikes.mean())
    assert first["silent_channels"] == same(2 / 9)
    assert first["active_masks"] == same(layer.masks.mean())
    assert first["empty_mask_positions"] == same(1 - layer.masks.any(axis=-1).mean())
    assert first["nonzero_gradients"] == same((layer.gradients != 0).mean())
    assert first["empty_gradient_positions"] == same(1 - (layer.gradients != 0).any(axis=-1).mean())
    assert first["nonzero_weights"] == same((layer.weights != 0).mean())
    assert (last["firing_rate"], last["active_masks"], last["silent_channels"]) == (None, None, None)
    assert first["dense_macs"] == 5 * 3 * (4 * 5 * 9) * (3 * 3 * 3)
    assert [(row["name"], row["timestep"], row["timesteps"]) for row in steps[2:5]] == [
        ("conv1", 3, 1),
        ("fc2", 1, 1),
        ("fc2", 2, 1),
    ]
    for name in ("firing_rate", "active_masks", "nonzero_gradients", "zero_index_groups", "input_nonzero"):
        assert np.mean([row[name] for row in steps[:3]]) == same(first[name])
        if last[name] is not None:
            assert np.mean([row[name] for row in steps[3:]]) == same(last[name])
    assert steps[0]["silent_channels"] == same(3 / 9)
    assert sum(row["dense_macs"] for row in steps[:3]) == first["dense_macs"]


def test_a_bias_has_no_row(trace: Trace) -> None:
    names = ["conv1", "projection2", "conv2", "fc3", "fc4"]
    rows = list(sparsity_rows(trace))
    assert [row["name"] for row in rows] == names
    assert [trace.network.layers[row["layer"]].name for row in rows] == names
    assert rows[1]["nonzero_gradients"] == rows[2]["nonzero_gradients"]


def test_files_hold_the_rows(tmp_path: Path) -> None:
    write_trace(random_record(small_network()), tmp_path / "step.h5")
    with open_trace(tmp_path / "step.h5") as trace:
        rows: list[dict[str, Any]] = list(sparsity_rows(trace))
    names = [column.name for column in COLUMNS]
    assert write_sparsity(rows, tmp_path / "a.parquet") == write_sparsity(rows, tmp_path / "a.csv") == 2
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.to_pylist() == [{name: row.get(name) for name in names} for row in rows]
    assert table.schema.field("dense_macs").metadata[b"unit"] == b"operations"
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == names
    assert float(read[0]["firing_rate"]) == rows[0]["firing_rate"]
    assert read[1]["firing_rate"] == read[0]["timestep"] == ""


def test_every_column_is_explained() -> None:
    told = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [column for column in told if column[0] in {c.name for c in COLUMNS}] == [
        (column.name, column.unit, column.meaning) for column in COLUMNS
    ]


def test_words_of_another_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--out: no such kind of file, got 'a.xlsx', allowed: .csv, .parquet$"):
        write_sparsity([], tmp_path / "a.xlsx")
