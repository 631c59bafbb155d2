"""The study's file: what a reader finds, and files that are not one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtl_models.errors import InputError
from tlm.analysis.bandwidth.study import STUDY, BandwidthStudy, run_study
from tlm.analysis.bandwidth.study_file import SCHEMA, read_study

UNITS = ("_ps", "_bytes", "_bytes_per_us", "_cycles", "_images", "_sha256", "_factor")


def test_others_can_read_it_and_see_the_units(study: BandwidthStudy, tmp_path: Path) -> None:
    run_study(study, tmp_path)
    table = pq.read_table(tmp_path / STUDY)
    assert table.schema.names == SCHEMA.names
    numbers = [field.name for field in SCHEMA if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]
    assert [name for name in numbers if not name.endswith(UNITS)] == ["point", "timesteps"]  # counts
    traffic = table["traffic"].combine_chunks().flatten().flatten()
    assert {"forward", "optimiser"} <= set(traffic[0].to_pylist())


def test_the_guide_s_example_runs(study: BandwidthStudy, tmp_path: Path) -> None:
    run_study(study, tmp_path / "h2learn-study")
    guide = Path(__file__).parents[3] / "docs" / "bandwidth_study.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["2GB/s", "x1"],
        ["16GB/s", "x1"],
        ["2GB/s", "x4"],
        ["16GB/s", "x4"],
    ]
    assert int(lines[0].split()[-2]) > int(lines[2].split()[-2]) == 0


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    with pytest.raises(InputError, match="cannot read the study, allowed: a Parquet file of a bandwidth study"):
        read_study(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot read the study"):
        read_study(path)
    pq.write_table(pa.table({"point": [1]}), path)
    with pytest.raises(InputError, match="not a bandwidth study, got '', allowed: h2learn-bandwidth-study/1"):
        read_study(path)


def test_a_folder_that_cannot_be_written(study: BandwidthStudy, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write the journal of a study \("):
        run_study(study, tmp_path / "file")
