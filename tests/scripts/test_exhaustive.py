"""The exhaustive check finds nothing wrong on a sample, finds what is wrong, and goes on where it stopped."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat
from rtl_models.simulators.build import compile_verilog
from rtl_models.simulators.elementwise import BARE, VerilatedFunction
from rtl_models.simulators.process import call_worker
from rtl_models.verification import exhaustive
from rtl_models.verification.arithmetic_units import adder_unit, double_unit, multiplier_unit
from rtl_models.verification.exhaustive import all_checks, run_part, run_sample
from rtl_models.verification.judges import numpy_judge, softfloat_is_installed, softfloat_judge
from rtl_models.verification.operands import corners, random_pairs
from tests.rtl_models.simulation import IN_CI, needs_verilator

SCRIPT = Path(__file__).parents[2] / "scripts" / "exhaustive_fp16.py"
STRIDE = 2_003  # a prime: 2.1 million of the 2**32 pairs
needs_softfloat = pytest.mark.skipif(not softfloat_is_installed() and not IN_CI, reason="softfloatpy is not installed")


def named(name: str, random_count: int = 5_000) -> exhaustive.Check:
    (check,) = (c for c in all_checks(random_count) if c.name == name)
    return check


@needs_verilator
@pytest.mark.parametrize("operation", ["add", "mul"])
def test_strided_sample_of_all_pairs(operation: str) -> None:
    result = run_sample(named(f"binary16-{operation}-all-numpy"), STRIDE)
    assert (result.pairs, result.wrong, result.examples) == (-(-(1 << 32) // STRIDE), 0, ())


@needs_verilator
@pytest.mark.parametrize("operation", ["add", "mul"])
def test_one_part_of_all_pairs(operation: str) -> None:
    # subnormal a with every b, with all blocks of the part joined
    check = replace(named(f"binary16-{operation}-all-numpy"), parts=1 << 13)
    result = run_part(check, 100)
    assert (result.pairs, result.wrong) == (8 << 16, 0)


@needs_verilator
@needs_softfloat
@pytest.mark.parametrize(
    "name",
    [
        "binary16-add-random-softfloat",
        "binary16-mul-random-softfloat",
        "binary32-add-random-softfloat",
        "binary32-mul-random-softfloat",
        "binary32-add-random-numpy",
        "binary32-mul-random-numpy",
    ],
)
def test_random_pairs(name: str) -> None:
    result = run_part(named(name), 0)
    assert (result.pairs, result.wrong) == (5_000, 0)


@needs_verilator
@pytest.mark.parametrize("operation", ["add", "mul"])
def test_corner_pairs_of_binary32(operation: str) -> None:
    check = replace(named(f"binary32-{operation}-corners-numpy"), parts=10)
    result = run_part(check, 4)
    assert result.wrong == 0
    assert result.pairs > 100_000


def test_parts_of_a_grid_cover_every_pair_once() -> None:
    for check in (named("binary32-add-corners-numpy"), replace(named("binary32-add-corners-numpy"), parts=7)):
        seen = [a for part in range(check.parts) for a, _ in exhaustive._blocks(check, part)]
        np.testing.assert_array_equal(np.concatenate(seen), corners(BINARY32))
    whole = named("binary16-add-all-numpy")
    rows = [a for part in (0, 1, whole.parts - 1) for a, _ in exhaustive._blocks(whole, part)]
    assert [int(np.concatenate(rows)[n]) for n in (0, 256, 511, -1)] == [0, 256, 511, 65535]


def test_random_parts_differ_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhaustive, "RANDOM_PART_PAIRS", 700)
    check = named("binary32-add-random-numpy", 2_000)
    assert check.parts == 3
    blocks = [b for part in range(3) for b in exhaustive._blocks(check, part)]
    assert sum(a.size for a, _ in blocks) == 2_000
    assert not np.array_equal(blocks[0][0], blocks[1][0])


class TestOperands:
    @pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16, BINARY32], ids=lambda f: f.name)
    def test_every_exponent_and_sign_is_a_corner(self, fmt: FloatFormat) -> None:
        edge = corners(fmt)
        assert len(np.unique(edge)) == edge.size
        assert len(np.unique(edge >> fmt.fraction_bits)) == 2 << fmt.exponent_bits
        assert {0, 1, fmt.canonical_nan, 1 << (fmt.width_bits - 1)} <= set(edge.tolist())

    @pytest.mark.parametrize("fmt", [BINARY16, BINARY32], ids=lambda f: f.name)
    def test_random_pairs_are_hostile(self, fmt: FloatFormat) -> None:
        a, b = random_pairs(fmt, 60_000, seed=1)
        assert int(max(a.max(), b.max())) < 1 << fmt.width_bits
        total, product = numpy_judge("add", fmt, a, b), numpy_judge("mul", fmt, a, b)
        magnitude = (1 << (fmt.width_bits - 1)) - 1
        cancelled = (total & magnitude) < np.minimum(a & magnitude, b & magnitude)
        assert cancelled.mean() > 0.1
        tiny = (product & magnitude) < 4 << fmt.fraction_bits
        assert (tiny & ((product & magnitude) > 0)).mean() > 0.1


class TestJudges:
    CASES = (
        ("add", BINARY16, 0x3C00, 0x3C00, 0x4000),
        ("add", BINARY16, 0x8000, 0x8000, 0x8000),
        ("add", BINARY16, 0x3C00, 0xBC00, 0x0000),
        ("add", BINARY16, 0x7C00, 0xFC00, 0x7E00),  # infinity - infinity: canonical NaN
        ("add", BINARY16, 0xFE01, 0x3C00, 0x7E00),  # the payload and sign of a NaN are dropped
        ("add", BINARY16, 0x3C00, 0x1000, 0x3C00),  # a tie falls to the even fraction
        ("add", BINARY16, 0x3C01, 0x1000, 0x3C02),
        ("mul", BINARY16, 0x0001, 0x3800, 0x0000),  # half of the smallest subnormal: to even, 0
        ("mul", BINARY16, 0x0003, 0x3800, 0x0002),
        ("mul", BINARY16, 0x7BFF, 0x4000, 0x7C00),
        ("mul", BINARY16, 0x0000, 0xFC00, 0x7E00),
        ("add", BINARY32, 0x3F800000, 0x33800000, 0x3F800000),
        ("mul", BINARY32, 0x00000001, 0x3F000001, 0x00000001),
        ("mul", BINARY32, 0x7F800001, 0x3F800000, 0x7FC00000),
    )

    @pytest.mark.parametrize("judge", [numpy_judge, pytest.param(softfloat_judge, marks=needs_softfloat)])
    def test_known_results(self, judge: Any) -> None:
        for operation, fmt, a, b, expected in self.CASES:
            (result,) = judge(operation, fmt, np.array([a], np.uint32), np.array([b], np.uint32))
            assert hex(result) == hex(expected), (operation, hex(a), hex(b))

    @needs_softfloat
    def test_judges_agree(self) -> None:
        for fmt in (BINARY16, BINARY32):
            a, b = random_pairs(fmt, 50_000, seed=9)
            for operation in ("add", "mul"):
                first, second = (judge(operation, fmt, a, b) for judge in (numpy_judge, softfloat_judge))
                np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize("judge", [numpy_judge, softfloat_judge])
    def test_words_of_errors(self, judge: Any) -> None:
        one = np.array([1], np.uint32)
        with pytest.raises(InputError, match=r"unknown operation, got .div., allowed: add, mul"):
            judge("div", BINARY16, one, one)
        with pytest.raises(InputError, match=r"format without a judge, got .bfloat16., allowed: binary16, binary32"):
            judge("add", BFLOAT16, one, one)

    def test_missing_softfloat_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rtl_models.verification.judges.softfloat_is_installed", lambda: False)
        from rtl_models.verification import judges

        judges._softfloat_loop.cache_clear()
        one = np.array([1], np.uint32)
        with pytest.raises(InputError, match=r"package not installed \(pip install softfloatpy\)"):
            softfloat_judge("add", BINARY16, one, one)


@needs_verilator
def test_wrong_hardware_is_found(tmp_path: Path) -> None:
    unit = adder_unit(BINARY16)
    verilog = call_worker("rtl_models.simulators.convert_worker", (unit, "unit"), unit.name)
    good = "(((total[4] | total[2]) | total[1]) | total[0])"
    assert verilog.count(good) == 1
    compile_verilog(verilog.replace(good, "1"), unit, tmp_path / "ties_up.so", BARE)
    result = run_sample(named("binary16-add-all-numpy"), STRIDE, VerilatedFunction(unit, tmp_path / "ties_up.so"))
    assert result.wrong > 1_000
    a, b, got, expected = result.examples[0]
    assert got != expected
    assert numpy_judge("add", BINARY16, np.array([a], np.uint32), np.array([b], np.uint32))[0] == expected


class TestErrors:
    def test_words(self) -> None:
        check = named("binary16-add-all-numpy")
        with pytest.raises(InputError, match=r"part of a check, got 256, allowed: 0\.\.255"):
            run_part(check, 256)
        with pytest.raises(InputError, match=r"number of random pairs, got 0, allowed: 1 or more"):
            all_checks(0)
        with pytest.raises(InputError, match=r"sample of all pairs, got .stride 7., allowed: binary16"):
            run_sample(named("binary32-add-random-numpy"), 7)

    @needs_verilator
    def test_a_unit_of_another_shape_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"not a function of two operands.*got \[16, 16\]"):
            VerilatedFunction(double_unit(BINARY16))

    def test_multiplier_units_have_names_of_their_own(self) -> None:
        names = {multiplier_unit(a, BINARY32, r).name for a in (BINARY16, BFLOAT16) for r in (BINARY16, BINARY32)}
        assert len(names) == 4


@needs_verilator
class TestScript:
    def run(self, *arguments: str) -> int:
        code: int = runpy.run_path(str(SCRIPT))["main"](list(arguments))
        return code

    def test_resumes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        state, figures = tmp_path / "new" / "state.jsonl", tmp_path / "figures.json"
        common = ("--check", "binary32-add-random-numpy", "--pairs", "3000", "--processes", "1", "--state", str(state))
        assert self.run(*common) == 0
        assert "done already" not in capsys.readouterr().out
        with state.open("a") as file:
            file.write('{"key": "torn')
        assert self.run(*common, "--json", str(figures)) == 0
        assert "1 of 1 parts are done already" in capsys.readouterr().out
        (record,) = json.loads(figures.read_text())["checks"]
        assert (record["pairs"], record["wrong"], record["parts"], record["of_parts"]) == (3000, 0, 1, 1)

    def test_wrong_bits_are_told_by_the_exit_code(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        script = runpy.run_path(str(SCRIPT))
        state = tmp_path / "state.jsonl"
        (job,) = script["make_jobs"]([named("binary32-add-random-numpy", 3000)], (1, 1))
        record = {"pairs": 3000, "wrong": 1, "examples": [[1, 2, 3, 4]], "processor_time_s": 1.0}
        other = replace(job, model="adder_binary32-of-another-day")
        lines = [{"key": job.key} | record, {"key": other.key} | record | {"wrong": 2}]
        state.write_text("".join(json.dumps(line) + "\n" for line in lines))
        arguments = ("--check", "binary32-add-random-numpy", "--pairs", "3000", "--state", str(state))
        assert self.run(*arguments) == 1
        shown = capsys.readouterr().out
        assert "a 0x1, b 0x2: 0x3, expected 0x4" in shown
        assert "1/1         3,000       1" in shown  # and nothing of the other model
        # --fresh forgets the line
        assert self.run(*arguments, "--fresh", "--processes", "1") == 0

    def test_shares_split_the_parts(self) -> None:
        script = runpy.run_path(str(SCRIPT))
        checks = [named("binary16-add-all-numpy")]
        shares = [script["make_jobs"](checks, (i, 3)) for i in (1, 2, 3)]
        assert sorted(job.part for share in shares for job in share) == list(range(256))

    def test_stride(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--stride", "1000003") == 0
        assert "binary16-mul-all-numpy, stride 1000003" in capsys.readouterr().out

    def test_words_of_errors(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--check", "cosine") == 2
        assert "unknown check" in capsys.readouterr().err
        for wrong, words in (
            (("--part", "3/2"), "got 3/2, allowed: i/n with 1 <= i <= n"),
            (("--pairs", "0"), "--pairs: got 0, allowed: 1 or more"),
        ):
            with pytest.raises(SystemExit):
                self.run(*wrong)
            assert words in capsys.readouterr().err
