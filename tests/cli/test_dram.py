"""`h2learn dram`: replayed requests as a table, as JSON and as a log of commands, and the words of every mistake."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

import tlm.memory.replay
from tlm.cli.main import main
from tlm.memory.reference import BASE_CSV
from tlm.memory.reference.traces import reference_trace
from tlm.memory.request_trace import write_request_trace
from tlm.memory.standard import list_standards

KEYS = [
    *("trace", "standard", "controller", "channels", "clock_period_ps", "requests", "reads", "writes", "bytes"),
    *("cycles_total", "time_ns", "bandwidth_gb_per_s", "peak_gb_per_s", "share_of_peak"),
    *("row_hits", "row_misses", "row_conflicts", "forwarded_reads", "coalesced_writes", "read_latency_cycles"),
    *("write_wait_cycles_mean", "cycles_last_request_accepted", "read_queue_mean", "write_queue_mean", "commands"),
]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Return a file of reads and writes on their way through DDR4."""
    path = tmp_path / "requests.txt.gz"
    write_request_trace(path, *reference_trace("DDR4", "t3_seq_2r1w"))
    return str(path)


@pytest.fixture
def replayed(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    """Run `h2learn dram replay --json` and return what it prints."""

    def run(*arguments: str) -> dict[str, object]:
        assert main(["dram", "replay", *arguments, "--json"]) == 0
        answer: dict[str, object] = json.loads(capsys.readouterr().out)
        return answer

    return run


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `h2learn dram`, which must fail with one line, and return the line."""

    def run(*arguments: str) -> str:
        assert main(["dram", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err.removeprefix("h2learn: error: ").rstrip()

    return run


@pytest.mark.parametrize("name", ["replay", "record", "standards"])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dram", name, "-h"]) == 0
    assert f"Usage: h2learn dram {name} " in capsys.readouterr().out


class TestReplay:
    def test_json_equals_the_reference(self, trace: str, replayed: Callable[..., dict[str, object]]) -> None:
        answer = replayed(trace, "--standard", "DDR4")
        with BASE_CSV.open(encoding="utf-8", newline="") as stream:
            row = next(
                row for row in csv.DictReader(stream) if (row["standard"], row["trace"]) == ("DDR4", "t3_seq_2r1w")
            )
        assert list(answer) == KEYS
        for key in ("requests", "reads", "writes", "bytes", "cycles_total", "row_hits", "row_misses", "row_conflicts"):
            assert answer[key] == float(row[key])
        assert answer["time_ns"] == pytest.approx(float(row["time_ns"]))
        assert answer["bandwidth_gb_per_s"] == pytest.approx(float(row["bw_GBps"]), abs=1e-4)
        assert answer["peak_gb_per_s"] == pytest.approx(float(row["peak_GBps"]), abs=1e-4)
        assert answer["share_of_peak"] == pytest.approx(float(row["frac_peak"]), abs=1e-5)
        latency = answer["read_latency_cycles"]
        assert isinstance(latency, dict)
        assert list(latency) == ["mean", "p50", "p99", "min", "max"]
        for key, column in (("mean", "avg"), ("p50", "p50"), ("p99", "p99"), ("min", "min"), ("max", "max")):
            assert latency[key] == pytest.approx(float(row[f"{column}_read_latency_cycles"]), abs=1e-3)
        assert answer["write_wait_cycles_mean"] == pytest.approx(float(row["avg_write_accept_to_WR_cycles"]), abs=1e-3)
        commands = answer["commands"]
        assert isinstance(commands, dict)
        for key, column in (("ACT", "ACT"), ("PRE", "PREpb"), ("RD", "RD"), ("WR", "WR"), ("REFAB", "REFab")):
            assert commands[key] == int(row[f"n_{column}"])

    def test_a_table(self, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["dram", "replay", trace, "--standard", "DDR4"]) == 0
        text = capsys.readouterr().out
        for words in (
            f"{trace}: DDR4, 1 channel, controller base",
            "20,000: 13,334 reads, 6,666 writes",
            "1,280,000",
            "120,441 of 833 ps",
            "100.327 us",
            "12.758 GB/s, 66.4% of 19.21 GB/s",
            "19,723, 144, 133",
            "mean 308.97, p50 344, p99 848, max 1,190",
            "mean 281.144",
            "ACT 277, PRE 133, RD 13,334, WR 6,666",
        ):
            assert words in text
        assert "…" not in text
        assert "served by a waiting write" not in text

    def test_reads_alone_and_writes_alone(self, tmp_path: Path, replayed: Callable[..., dict[str, object]]) -> None:
        path = tmp_path / "one.txt"
        path.write_text("R 0x0\n")
        answer = replayed(str(path), "--standard", "DDR4")
        assert answer["cycles_total"] == 37  # 1 + nRCD + nCL + nBL
        assert answer["write_wait_cycles_mean"] is None
        path.write_text("W 0x0\n")
        answer = replayed(str(path), "--standard", "DDR4")
        assert answer["cycles_total"] == 33  # 1 + nRCD + nCWL + nBL
        assert answer["read_latency_cycles"] is None
        assert main(["dram", "replay", str(path), "--standard", "DDR4"]) == 0

    def test_requests_served_by_a_waiting_write(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "same.txt"
        path.write_text("W 0x0\nR 0x0\nW 0x0\nR 0x1000\n")
        assert main(["dram", "replay", str(path), "--standard", "DDR4"]) == 0
        assert "1 reads, 1 writes" in capsys.readouterr().out

    def test_settings(self, trace: str, replayed: Callable[..., dict[str, object]]) -> None:
        base = replayed(trace, "--standard", "DDR4")
        for changed in (
            ("--controller", "mop4clxor"),
            ("--set", "nRCD=20"),
            ("--set", "nRFC=700ns"),
            ("--set", "read_queue=4"),
            ("--set", "write_low=0.6"),
            ("--set", "mapping=MOP4CLXOR"),
            ("--channels", "2"),
        ):
            answer = replayed(trace, "--standard", "DDR4", *changed)
            assert answer["requests"] == base["requests"]
            assert answer["cycles_total"] != base["cycles_total"], changed
        queues = [part for key in ("read_queue", "write_queue") for part in ("--set", f"{key}=8")]
        assert (
            replayed(trace, "--standard", "DDR4", *queues)["cycles_total"]
            == replayed(trace, "--standard", "DDR4", "--controller", "queue8")["cycles_total"]
        )
        assert (
            replayed(trace, "--standard", "LPDDR5", "--set", "data_clock_always_on=true")["cycles_total"]
            == replayed(trace, "--standard", "LPDDR5", "--controller", "lpddr5_wck_on")["cycles_total"]
        )
        assert (
            replayed(trace, "--standard", "HBM2", "--set", "pseudo_channels=1")["cycles_total"]
            == replayed(trace, "--standard", "HBM2", "--controller", "hbm2_pc1")["cycles_total"]
        )

    def test_channels_that_change_every_so_many_bytes(
        self, tmp_path: Path, replayed: Callable[..., dict[str, object]]
    ) -> None:
        """Two channels halve the time of sequential reads, and the capacity is that of both."""
        path = tmp_path / "requests.txt"
        write_request_trace(path, np.arange(4000) * 64 + (8 << 30), np.zeros(4000, dtype=np.bool_))
        one = replayed(str(path), "--standard", "DDR4", "--channels", "4", "--interleave", str(1 << 20))
        two = replayed(str(path), "--standard", "DDR4", "--channels", "2", "--interleave", "256")
        assert isinstance(one["cycles_total"], float)
        assert isinstance(two["cycles_total"], float)
        assert 0.49 < two["cycles_total"] / one["cycles_total"] < 0.55

    def test_a_table_of_ones_own(
        self, tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str], replayed: Callable[..., dict[str, object]]
    ) -> None:
        assert main(["dram", "standards", "DDR4"]) == 0
        table = tmp_path / "mine.yaml"
        table.write_text(capsys.readouterr().out.replace("name: DDR4", "name: mine"))
        answer = replayed(trace, "--standard", str(table))
        assert (answer["standard"], answer["cycles_total"]) == ("mine", 120441)

    def test_unaligned_addresses_rounded_down(self, tmp_path: Path, replayed: Callable[..., dict[str, object]]) -> None:
        path = tmp_path / "requests.txt"
        path.write_text("R 0x7\nR 0x43\n")
        rounded = replayed(str(path), "--standard", "DDR4", "--align")
        path.write_text("R 0x0\nR 0x40\n")
        assert replayed(str(path), "--standard", "DDR4") == rounded


class TestLogOfCommands:
    def test_csv(self, trace: str, tmp_path: Path, replayed: Callable[..., dict[str, object]]) -> None:
        log = tmp_path / "log.csv"
        answer = replayed(trace, "--standard", "DDR4", "--log-commands", str(log))
        with log.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        place = ["unit", "stack_id", "group", "bank", "row", "column"]
        assert list(rows[0]) == ["channel", "tick", "command", *place, "request"]
        assert list(rows[0].values()) == ["0", "1", "ACT", "0", "0", "0", "0", "0", "", "0"]
        given = {name: count for name, count in dict(answer["commands"]).items() if count}  # type: ignore[call-overload]
        assert Counter(row["command"] for row in rows) == given
        refresh = next(row for row in rows if row["command"] == "REFAB")
        assert [refresh[name] for name in ("unit", "group", "bank", "row", "column", "request")] == [
            "0",
            "",
            "",
            "",
            "",
            "",
        ]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "requests.txt.gz"]

    def test_parquet_of_two_channels(
        self, trace: str, tmp_path: Path, replayed: Callable[..., dict[str, object]]
    ) -> None:
        """Each request, by its number in the trace, is served once and on its channel."""
        log = tmp_path / "log.parquet"
        replayed(trace, "--standard", "DDR4", "--channels", "2", "--interleave", "128", "--log-commands", str(log))
        addresses, is_write = reference_trace("DDR4", "t3_seq_2r1w")
        accesses = [row for row in parquet.read_table(log).to_pylist() if row["command"] in ("RD", "WR")]
        assert sorted(row["request"] for row in accesses) == list(range(20_000))
        for row in accesses:
            assert row["channel"] == addresses[row["request"]] // 128 % 2
            assert (row["command"] == "WR") == is_write[row["request"]]

    def test_nothing_is_left_of_an_interrupted_replay(
        self, trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(tlm.memory.replay, "replay", interrupted)
        log = tmp_path / "log.csv"
        assert main(["dram", "replay", trace, "--standard", "DDR4", "--log-commands", str(log)]) == 130
        monkeypatch.undo()
        monkeypatch.setattr("pyarrow.csv.write_csv", interrupted)
        assert main(["dram", "replay", trace, "--standard", "DDR4", "--log-commands", str(log)]) == 130
        assert [path.name for path in tmp_path.iterdir()] == ["requests.txt.gz"]


class TestStandards:
    def test_list(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["dram", "standards"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == list_standards()
        (hbm2,) = (line for line in lines if line.startswith("HBM2 "))
        assert hbm2.split(maxsplit=1)[1] == (
            "HBM2 channel of 1 GiB, 32 GB/s, clock 1000 ps, bursts of 32 bytes, 32 banks of 32768 rows, "
            "rows of 1024 bytes"
        )

    def test_words(self, error_of: Callable[..., str]) -> None:
        allowed = ", ".join(list_standards())
        assert error_of("standards", "DDR3") == f"unknown DRAM standard, got 'DDR3', allowed: {allowed} or a .yaml file"


class TestWords:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--standard", "DDR3"], "unknown DRAM standard, got 'DDR3', allowed: DDR4, "),
            (["--standard", "no.yaml"], "no.yaml: cannot read the table of a DRAM standard"),
            (
                ["--standard", "DDR4", "--controller", "bse"],
                "--controller: unknown controller, got 'bse', allowed: base, norefresh, ",
            ),
            (
                ["--standard", "DDR4", "--controller", "hbm3_perbank_ref"],
                "DDR4: has no per-bank refresh, got 'per_bank', allowed: all_bank, none",
            ),
            (
                ["--standard", "DDR4", "--set", "nRC=54"],
                "DDR4: timings: nRC: nRC < nRAS + nRP, got 54, allowed: 55 or more",
            ),
            (["--standard", "DDR4", "--set", "nRDC=54"], "DDR4: timings: nRDC: unknown timing, allowed: "),
            (["--standard", "DDR4", "--set", "nRC"], "DDR4: an override of a DRAM standard is key=value, got 'nRC'"),
            (
                ["--standard", "DDR4", "--set", "read_queue=0"],
                "controller: read_queue: must be a whole number, got 0, allowed: 1 or more",
            ),
            (
                ["--standard", "DDR4", "--set", "write_queue=few"],
                "--set write_queue: not a setting of the controller, got 'few', allowed: a whole number",
            ),
            (
                ["--standard", "DDR4", "--set", "write_low=little"],
                "--set write_low: not a setting of the controller, got 'little', allowed: a number",
            ),
            (
                ["--standard", "DDR4", "--set", "data_clock_always_on=yes"],
                "--set data_clock_always_on: not a setting of the controller, got 'yes', allowed: true, false",
            ),
            (
                ["--standard", "DDR4", "--set", "refresh=some"],
                "controller: refresh: unknown choice, got 'some', allowed: none, all_bank, per_bank",
            ),
            (
                ["--standard", "DDR4", "--interleave", "96"],
                "interleave_bytes: channels change between bursts only, got 96, allowed: multiples of 64",
            ),
            (
                ["--standard", "DDR4", "--channels", "0"],
                "dram replay: Invalid value for '--channels': 0 is not in the range",
            ),
            ([], "dram replay: Missing option '--standard'"),
        ],
    )
    def test_settings(self, arguments: list[str], words: str, trace: str, error_of: Callable[..., str]) -> None:
        assert error_of("replay", trace, *arguments).startswith(words)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"R 0x0\nQ 0x40\n", ":2: malformed request, got 'Q 0x40', allowed: R 0xADDR or W 0xADDR"),
            (b"R 0x10\n", ":1: address not aligned to the burst, got 'R 0x10', allowed: multiples of 64 bytes"),
            (b"R 0x200000000\n", ":1: address beyond the capacity, got 'R 0x200000000', allowed: below 0x200000000"),
            (b"", ": no requests in the file"),
            (b"\x1f\x8b\x08\x00", ": the gzip file is truncated"),
            (b"\x00\x01", ":1: malformed request"),
        ],
    )
    def test_requests(self, content: bytes, words: str, tmp_path: Path, error_of: Callable[..., str]) -> None:
        path = tmp_path / "requests.txt"
        path.write_bytes(content)
        log = tmp_path / "log.csv"
        text = error_of("replay", str(path), "--standard", "DDR4", "--log-commands", str(log))
        assert text.startswith(f"{path}{words}")
        assert not log.exists()

    def test_no_file_and_no_folder(self, trace: str, tmp_path: Path, error_of: Callable[..., str]) -> None:
        missing = tmp_path / "missing" / "file"
        assert error_of("replay", str(missing), "--standard", "DDR4") == (
            f"{missing}: cannot read the requests (No such file or directory)"
        )
        assert error_of("replay", trace, "--standard", "DDR4", "--log-commands", str(missing)) == (
            f"{missing.parent}: the output folder does not exist, allowed: an existing, writable folder"
        )
