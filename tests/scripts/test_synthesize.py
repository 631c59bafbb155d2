"""The transistor counts fit their schema and the present hardware; the script says what is stale or missing."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from rtl_models.simulators import SimulatorError
from rtl_models.simulators.source import source_hash
from rtl_models.transistors import TransistorCounts, parse_counts, transistor_counts
from rtl_models.verification.synthesis_points import synthesis_points
from tests.rtl_models.simulation import IN_CI

SCRIPT: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "synthesize.py"))
needs_yosys = pytest.mark.skipif(
    not shutil.which("yosys") and not IN_CI, reason="yosys is not installed (apt-get install yosys)"
)
STATISTICS = """
6. Printing statistics.

   Number of cells:               1561
     $_NAND_                       664
     $_NOR_                        736
     $_NOT_                        161

   Estimated number of transistors:       5922
"""


class TestFile:
    def test_fits_the_present_hardware(self) -> None:
        records = SCRIPT["read_file"](SCRIPT["FILE"], None)
        lines = list(SCRIPT["stale"](synthesis_points(), records))
        assert not lines, "run scripts/synthesize.py:\n" + "\n".join(lines)

    def test_has_every_point_once_and_nothing_else(self) -> None:
        labels = {(b.block, json.dumps(b.geometry, sort_keys=True)) for b in transistor_counts().blocks}
        wanted = {(p.block, json.dumps(p.geometry, sort_keys=True)) for p in synthesis_points()}
        assert labels == wanted
        assert len(transistor_counts().blocks) == len(wanted)

    def test_says_what_made_it(self) -> None:
        counts = transistor_counts()
        assert counts.command == SCRIPT["COMMAND"]
        assert counts.tool.startswith("Yosys ")
        assert counts.made_by.startswith("scripts/synthesize.py")

    def test_counts_grow_as_the_hardware_does(self) -> None:
        counts = transistor_counts()
        for block, parameter in (("lut_row", "lanes"), ("lut_row", "k"), ("lut_row", "depth"), ("fifo", "depth")):
            sizes = {
                int(b.geometry[parameter]): b.transistors
                for b in counts.blocks
                if b.block == block and all(v == BASE[block].get(n, v) for n, v in b.geometry.items() if n != parameter)
            }
            ordered = [sizes[n] for n in sorted(sizes)]
            assert len(ordered) > 2, (block, parameter)
            assert ordered == sorted(ordered)

    def test_wider_arithmetic_is_larger(self) -> None:
        counts = transistor_counts()
        half, single = (counts.find("adder", format=f).transistors for f in ("binary16", "binary32"))
        assert 2 * half < single < 4 * half
        assert counts.find("multiplier", result_format="binary16").transistors > half


BASE: dict[str, dict[str, Any]] = {
    "lut_row": {
        "k": 4,
        "lanes": 1,
        "depth": 2,
        "value_format": "binary16",
        "sum_format": "binary32",
        "adder_latency_cycles": 1,
        "build_latency_cycles": 1,
        "tree_registers": False,
    },
    "fifo": {"width_bits": 16},
}


def record(**changes: Any) -> dict[str, Any]:
    base = {
        "block": "adder",
        "geometry": {"format": "binary16"},
        "transistors": 28,
        "flip_flops": 1,
        "cells": {"$_NAND_": 2, "$_NOT_": 2, "$_DFF_P_": 1},
        "date": "2026-01-31",
        "verilog_sha256": "0" * 64,
        "source_sha256": "1" * 64,
    }
    return base | changes


def file_text(*records: dict[str, Any]) -> str:
    return json.dumps({"made_by": "m", "tool": "Yosys 0", "command": SCRIPT["COMMAND"], "blocks": records})


class TestSchema:
    def test_a_record(self) -> None:
        (block,) = parse_counts(file_text(record())).blocks
        assert (block.transistors, block.logic_transistors) == (28, 12)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"transistors": 29}, "cells have 28 transistors, not 29"),
            ({"flip_flops": 0}, "or other flip_flops"),
            ({"cells": {"$_MUX_": 7}}, r"cells \['\$_MUX_'\], allowed"),
            ({"source_sha256": "abc"}, "String should match pattern"),
            ({"date": "yesterday"}, "date"),
            ({"colour": "red"}, "Extra inputs are not permitted"),
        ],
    )
    def test_words_of_errors(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(InputError, match=words) as caught:
            parse_counts(file_text(record(**changes)))
        assert str(caught.value).startswith("transistors.json: ")

    def test_find(self) -> None:
        counts = parse_counts(file_text(record(), record(geometry={"format": "bfloat16"})))
        assert counts.find("adder", format="bfloat16").geometry == {"format": "bfloat16"}
        with pytest.raises(InputError, match=r"0 synthesised sizes fit adder.*binary32"):
            counts.find("adder", format="binary32")
        with pytest.raises(InputError, match="2 synthesised sizes fit adder"):
            counts.find("adder")


class TestStatistics:
    def test_cells_and_sum(self) -> None:
        assert SCRIPT["read_statistics"](STATISTICS, "x") == (5922, {"$_NAND_": 664, "$_NOR_": 736, "$_NOT_": 161})

    def test_only_the_last_statistics_count(self) -> None:
        earlier = STATISTICS.replace("5922", "1+")
        assert SCRIPT["read_statistics"](earlier + STATISTICS, "x")[0] == 5922

    @pytest.mark.parametrize("text", ["", STATISTICS.replace("5922", "5922+")])
    def test_a_sum_that_is_not_all_is_refused(self, text: str) -> None:
        with pytest.raises(SimulatorError, match="x: yosys counted not all cells"):
            SCRIPT["read_statistics"](text, "x")


class TestScript:
    def test_stale_and_missing_points_are_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (point,) = (p for p in synthesis_points() if p.label == "adder format=binary16")
        path = tmp_path / "counts.json"
        path.write_text(file_text(record(), record(geometry={"format": "bfloat16"})))
        assert SCRIPT["main"](["--check", "--file", str(path), "--block", "adder"]) == 1
        shown = capsys.readouterr().out
        assert "stale: adder format=binary16: sources have changed" in shown
        assert "stale: adder format=binary32: not synthesised" in shown
        path.write_text(file_text(record(source_sha256=source_hash(point.unit))))
        SCRIPT["main"](["--check", "--file", str(path), "--block", "adder"])
        assert "format=binary16" not in capsys.readouterr().out

    def test_counts_of_another_command_are_stale(self, tmp_path: Path) -> None:
        path = tmp_path / "counts.json"
        path.write_text(file_text(record()).replace("cmos2", "cmos4"))
        assert SCRIPT["read_file"](path, None) == {}

    def test_without_yosys(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("PATH", "")
        for ci, code in (("", 0), ("true", 1)):
            monkeypatch.setenv("CI", ci)
            assert SCRIPT["main"]([]) == code
            assert "SKIPPED: yosys is not installed (apt-get install yosys)" in capsys.readouterr().out

    def test_words_of_errors(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert SCRIPT["main"](["--block", "clock"]) == 2
        assert "--block: got clock, allowed: adder, multiplier, " in capsys.readouterr().err
        path = tmp_path / "counts.json"
        path.write_text("{}")
        assert SCRIPT["main"](["--check", "--file", str(path)]) == 2
        assert "error: transistors.json: Field required" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            SCRIPT["main"](["--jobs", "0"])
        assert "--jobs: got 0, allowed: 1 or more" in capsys.readouterr().err

    @needs_yosys
    def test_synthesises_again_only_what_changed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "counts.json"
        arguments = ["--file", str(path), "--block", "comparison", "--jobs", "1"]
        assert SCRIPT["main"](arguments) == 0
        made = capsys.readouterr().out
        (block,) = parse_counts(path.read_text()).blocks
        assert block == transistor_counts().find("comparison").model_copy(update={"date": block.date})
        assert "comparison format=binary32" in made
        assert SCRIPT["main"](arguments) == 0
        assert capsys.readouterr().out == ""
        # other sources, the same Verilog: a new stamp, no synthesis
        text = json.loads(path.read_text())
        text["blocks"][0] |= {"source_sha256": "0" * 64, "date": "2001-01-01"}
        path.write_text(json.dumps(text))
        assert SCRIPT["main"](arguments) == 0
        assert "(Verilog unchanged)" in capsys.readouterr().out
        again: TransistorCounts = parse_counts(path.read_text())
        assert str(again.blocks[0].date) == "2001-01-01"
        assert again.blocks[0].source_sha256 == block.source_sha256

    @needs_yosys
    def test_a_failing_synthesis_shows_the_log(self) -> None:
        with pytest.raises(SimulatorError, match=r"x: yosys failed:(?s:.*)syntax error"):
            SCRIPT["synthesise"]("module unit(; endmodule", "x")
