"""`h2learn verify dram`: rows, traces and allowances, exit codes, and the words of every mistake."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tlm.cli.main import main
from tlm.memory import verify
from tlm.memory.controller import CONTROLLERS
from tlm.memory.reference import BASE_CSV, VARIANTS_CSV
from tlm.memory.reference.traces import reference_trace
from tlm.memory.request_trace import write_request_trace
from tlm.memory.verify import ReferenceRow, allowed_percent, phase_spreads, read_reference

Rows = list[dict[str, str]]


def reference_rows(path: Path = BASE_CSV, **wanted: str) -> Rows:
    """Return the rows of a reference file in which the given columns have the given values."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if all(row[column] == value for column, value in wanted.items())]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Rows], str]:
    """Write rows into a CSV file and return its path."""

    def write_rows(rows: Rows) -> str:
        path = tmp_path / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return str(path)

    return write_rows


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `h2learn verify dram`, which must fail with one line, and return the line."""

    def run(*arguments: str) -> str:
        assert main(["verify", "dram", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err.removeprefix("h2learn: error: ").rstrip()

    return run


CLOSED_FORM = {"standard": "DDR4", "trace": "t5_stride_1k", "config": "norefresh"}
"""A row whose cycles follow from the timings alone: 1 + nRCD + 19,999 nBL + nCL + nBL = 80,033."""


class TestVerdicts:
    def test_a_row_that_is_equal(self, write: Callable[[Rows], str], capsys: pytest.CaptureFixture[str]) -> None:
        file = write(reference_rows(VARIANTS_CSV, **CLOSED_FORM))
        assert main(["verify", "dram", file]) == 0
        text = capsys.readouterr().out
        for words in ("DDR4", "norefresh", "t5_stride_1k", "80,033", "+0.000 %", "1 %", "good"):
            assert words in text
        assert text.endswith(
            "1 of 1 rows within what is allowed, 1 equal to the cycle; "
            "largest difference +0.000 % (DDR4 norefresh t5_stride_1k)\n"
        )
        assert "…" not in text

    def test_json(self, write: Callable[[Rows], str], capsys: pytest.CaptureFixture[str]) -> None:
        file = write(reference_rows(VARIANTS_CSV, **CLOSED_FORM))
        assert main(["verify", "dram", file, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == [
            {
                "where": f"{file}:2",
                "standard": "DDR4",
                "config": "norefresh",
                "trace": "t5_stride_1k",
                "requests": 20000,
                "reference_cycles": 80033.0,
                "cycles": 80033.0,
                "difference_percent": 0.0,
                "allowed_percent": 1.0,
                "good": True,
            }
        ]

    @pytest.mark.parametrize(("cycles", "exit_code"), [(79241, 0), (79240, 1), (80841, 0), (80842, 1)])
    def test_one_percent_without_refresh(
        self, write: Callable[[Rows], str], capsys: pytest.CaptureFixture[str], cycles: int, exit_code: int
    ) -> None:
        """80,033 cycles here are one percent more than 79,240.6 and less than 80,841.4."""
        row = reference_rows(VARIANTS_CSV, **CLOSED_FORM)[0] | {"cycles_total": str(cycles)}
        file = write([row])
        assert main(["verify", "dram", file]) == exit_code
        text = capsys.readouterr().out
        assert (f"{file}:2: OUTSIDE, DDR4, norefresh, t5_stride_1k, 80,033, {cycles:,}, " in text) == (exit_code == 1)
        assert f"{1 - exit_code} of 1 rows within what is allowed" in text

    @pytest.mark.parametrize(
        ("standard", "config", "trace", "percent"),
        [
            ("DDR4", "norefresh", "t1_seq_read", 1.0),
            ("HBM3", "mop4clxor_noref", "t1_seq_read", 1.0),
            ("HBM3", "rowhit_noref", "t1_seq_read", 1.0),
            ("DDR4", "base", "t1_seq_read", 2.0),
            ("DDR4", "base", "a trace of the user's own", 2.0),
            ("HBM3", "base", "t1_seq_read", 4.0),
            ("HBM3", "hbm3_perbank_ref", "t1_seq_read", 4.0),
            ("HBM2", "base", "t8b_four_streams_staggered", 2 * 6.446),
            ("LPDDR5", "base", "t8b_four_streams_staggered", 2 * 3.655),
        ],
    )
    def test_what_is_allowed(self, standard: str, config: str, trace: str, percent: float) -> None:
        row = ReferenceRow("", standard, config, trace, 1, 1.0)
        assert allowed_percent(row, CONTROLLERS[config], phase_spreads()) == percent

    def test_without_a_file_the_shipped_rows_are_verified(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], write: Callable[[Rows], str]
    ) -> None:
        assert verify.SHIPPED == (BASE_CSV, VARIANTS_CSV)
        assert len(read_reference(BASE_CSV)) == 36
        assert len(read_reference(VARIANTS_CSV)) == 423
        file = write(reference_rows(VARIANTS_CSV, **CLOSED_FORM))
        monkeypatch.setattr(verify, "SHIPPED", (Path(file), Path(file)))
        assert main(["verify", "dram"]) == 0
        assert "2 of 2 rows" in capsys.readouterr().out

    @pytest.mark.slow
    def test_every_shipped_row_is_equal_to_the_cycle(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", "dram", "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert len(rows) == 36 + 423
        assert [row for row in rows if row["cycles"] != row["reference_cycles"]] == []


class TestTraces:
    def test_a_trace_of_another_name(
        self, tmp_path: Path, write: Callable[[Rows], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The strided reads under a name that the generator does not know."""
        addresses, is_write = reference_trace("DDR4", "t5_stride_1k")
        write_request_trace(tmp_path / "DDR4.hidden.txt.gz", addresses, is_write)
        file = write([reference_rows(VARIANTS_CSV, **CLOSED_FORM)[0] | {"trace": "hidden"}])
        assert main(["verify", "dram", file, "--traces", str(tmp_path)]) == 0
        assert "1 equal to the cycle" in capsys.readouterr().out

    def test_words(self, tmp_path: Path, write: Callable[[Rows], str], error_of: Callable[..., str]) -> None:
        row = reference_rows(VARIANTS_CSV, **CLOSED_FORM)[0]
        file = write([row])
        trace = tmp_path / "DDR4.t5_stride_1k.txt.gz"
        assert error_of(file, "--traces", str(tmp_path / "no")) == f"{tmp_path / 'no'}: no such folder of traces"
        assert error_of(file, "--traces", str(tmp_path)) == f"{file}:2: no trace for this row, allowed: {trace}"
        write_request_trace(trace, np.array([0, 64]), np.array([False, True]))
        assert error_of(file, "--traces", str(tmp_path)) == (
            f"{file}:2: the row has another number of requests than its trace {trace}, got 20000, allowed: 2"
        )
        trace.write_text("R 0x0\nR 64\n")
        assert error_of(file, "--traces", str(tmp_path)) == (
            f"{trace}:2: malformed request, got 'R 64', allowed: R 0xADDR or W 0xADDR"
        )
        file = write([row | {"trace": "t9"}])
        assert error_of(file).startswith(
            f"{file}:2: unknown generated trace (--traces DIR gives others), got 't9', allowed: t1_seq_read, "
        )

    def test_a_standard_without_generated_traces(
        self, write: Callable[[Rows], str], error_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(verify, "GEOMETRY", {"HBM2": verify.GEOMETRY["HBM2"]})
        file = write(reference_rows(VARIANTS_CSV, **CLOSED_FORM))
        assert error_of(file) == (
            f"{file}:2: unknown standard of the generated traces (--traces DIR gives others), got 'DDR4', allowed: HBM2"
        )


class TestWordsForBadFiles:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"standard": "DDR3"}, "unknown standard, got 'DDR3', allowed: "),
            ({"config": "bse"}, "unknown configuration, got 'bse', allowed: base, norefresh, "),
            (
                {"timing_preset": "DDR4_3200AA"},
                "another timing_preset than here, got 'DDR4_3200AA', allowed: DDR4_2400R",
            ),
            ({"org_preset": "x"}, "another org_preset than here, got 'x', allowed: DDR4_8Gb_x8"),
            ({"requests": "many"}, "requests is not a positive number, got 'many'"),
            ({"requests": "1.5"}, "requests is not a whole number, got '1.5'"),
            ({"requests": "0"}, "requests is not a positive number, got '0'"),
            ({"cycles_total": ""}, "cycles_total is not a positive number, got ''"),
            ({"cycles_total": "nan"}, "cycles_total is not a positive number, got 'nan'"),
            ({"cycles_total": "inf"}, "cycles_total is not a positive number, got 'inf'"),
            ({"cycles_total": "-1"}, "cycles_total is not a positive number, got '-1'"),
        ],
    )
    def test_a_bad_row_is_named(
        self, change: dict[str, str], words: str, write: Callable[[Rows], str], error_of: Callable[..., str]
    ) -> None:
        rows = reference_rows(standard="DDR4")
        rows[3] |= change
        file = write(rows)
        assert error_of(file).startswith(f"{file}:5: {words}")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", ": missing column 'standard', got '', allowed: standard, config, trace, requests, cycles_total"),
            (
                b"standard,trace\nDDR4,t1\n",
                ": missing column 'config', got 'standard, trace', "
                "allowed: standard, config, trace, requests, cycles_total",
            ),
            (b"standard,config,trace,requests,cycles_total\n", ": no rows"),
            (
                b"standard,config,trace,requests,cycles_total\nDDR4,base\n",
                ":2: not as many fields as the header",
            ),
            (
                b"standard,config,trace,requests,cycles_total\nDDR4,base,t1_seq_read,1,1,1\n",
                ":2: not as many fields as the header",
            ),
            (
                b"\xff\xfe\x00",
                ": not a CSV file ('utf-8' codec can't decode byte 0xff in position 0: invalid start byte)",
            ),
            (b'standard,"con', ": not a CSV file (unexpected end of data)"),
        ],
    )
    def test_what_is_no_reference(
        self, content: bytes, words: str, tmp_path: Path, error_of: Callable[..., str]
    ) -> None:
        file = tmp_path / "rows.csv"
        file.write_bytes(content)
        assert error_of(str(file)) == f"{file}{words}"

    def test_no_file(self, tmp_path: Path, error_of: Callable[..., str]) -> None:
        assert error_of(str(tmp_path / "no.csv")) == (
            f"{tmp_path / 'no.csv'}: cannot read the reference (No such file or directory)"
        )
        assert error_of(str(tmp_path)) == f"{tmp_path}: cannot read the reference (Is a directory)"
