"""The mutation study: its catalogue fits the sources, and it tells caught, surviving and invalid mutants apart."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rtl_models.simulation import needs_verilator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STUDY: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "mutation_study.py"))
CATALOGUE = STUDY["read_catalogue"]()


class TestCatalogue:
    def test_every_mutant_changes_one_place_of_its_source(self) -> None:
        for mutant in CATALOGUE:
            source = (ROOT / mutant.file).read_text(encoding="utf-8")
            compile(mutant.apply(source), mutant.file, "exec")

    def test_names_are_unique(self) -> None:
        names = [(m.block, m.name) for m in CATALOGUE]
        assert len(set(names)) == len(names)

    def test_every_block_has_mutants(self) -> None:
        files = {m.file for m in CATALOGUE}
        hardware = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "rtl_models").rglob("*.py")
            if "@block\n" in path.read_text(encoding="utf-8") and path.parent.name not in ("verification", "simulators")
        }
        # registers and the sign flip are parts of every unit above them
        parts = {"rtl_models/arithmetic/pipeline.py", "rtl_models/arithmetic/negate.py", "rtl_models/backward_unit.py"}
        assert files == hardware - parts

    def test_tests_exist(self) -> None:
        assert [t for m in CATALOGUE for t in m.tests if not (ROOT / t).is_file()] == []

    def test_equivalence_is_rare_and_explained(self) -> None:
        equivalent = [m for m in CATALOGUE if m.equivalent is not None]
        assert len(equivalent) < len(CATALOGUE) / 10
        assert all(len(m.equivalent) > 30 for m in equivalent)

    def test_words_for_a_mutant_that_does_not_fit(self) -> None:
        mutant = replace(CATALOGUE[0], name="x", replace="no such text")
        with pytest.raises(STUDY["StudyError"], match=r"adder, 'x': text to replace stands 0 times in rtl_models/"):
            mutant.apply("a = 1")

    def test_words_for_a_wrong_key(self, tmp_path: Path) -> None:
        path = tmp_path / "mutants.yaml"
        path.write_text(json.dumps([{"block": "b", "mutants": [{"name": "n", "replace": "x", "with": "y"}]}]))
        with pytest.raises(STUDY["StudyError"], match=r"mutants.yaml, b: keys \['by', 'with'\] unknown or missing"):
            STUDY["read_catalogue"](path)


class TestTree:
    def test_only_the_mutated_file_differs(self, tmp_path: Path) -> None:
        project, tree = tmp_path / "project", tmp_path / "tree"
        for folder in STUDY["LINKED"]:
            if (ROOT / folder).is_dir():
                (project / folder).mkdir(parents=True)
                (project / folder / "a.py").write_text("1")
        (project / "pyproject.toml").write_text("")
        (project / "rtl_models" / "deep").mkdir()
        for name in ("b.py", "c.py"):
            (project / "rtl_models" / "deep" / name).write_text("1")
        tree.mkdir()
        STUDY["make_tree"](project, tree, "rtl_models/deep/b.py", "2")
        texts = {p.relative_to(tree).as_posix(): p.read_text() for p in tree.rglob("*.py")}
        assert texts.pop("rtl_models/deep/b.py") == "2"
        assert set(texts.values()) == {"1"}
        assert {"rtl_models/deep/c.py", "rtl_models/a.py"} <= set(texts)
        assert (project / "rtl_models" / "deep" / "b.py").read_text() == "1"


class TestVerdicts:
    @pytest.mark.parametrize(
        ("code", "output", "verdict", "detail"),
        [
            (0, "3 passed", "survived", ""),
            (1, "FAILED tests/a.py::test_b - assert 1 == 2\n1 failed", "caught", "tests/a.py::test_b"),
            (1, "ERROR tests/a.py::test_b - KeyError\n1 error", "caught", "tests/a.py::test_b"),
            (-6, "Aborted", "caught", "ended by SIGABRT"),
            (1, "FAILED tests/a.py::test_b - x: g++ failed:", "invalid", "FAILED tests/a.py::test_b - x: g++ failed:"),
            (5, "no tests ran in 0.1s", "invalid", "no tests ran in 0.1s"),
            (4, "", "invalid", "pytest's exit code 4"),
        ],
    )
    def test_classify(self, code: int, output: str, verdict: str, detail: str) -> None:
        assert STUDY["classify"](code, output) == (verdict, detail)

    def test_summary_names_what_is_not_as_claimed(self, capsys: pytest.CaptureFixture[str]) -> None:
        plain, equivalent = CATALOGUE[0], next(m for m in CATALOGUE if m.equivalent)
        outcomes = [
            STUDY["Outcome"](plain, "caught", "tests/a.py::t", 1.0),
            STUDY["Outcome"](replace(plain, name="second"), "survived", "", 1.0),
            STUDY["Outcome"](replace(equivalent, block=plain.block), "survived", "", 1.0),
            STUDY["Outcome"](replace(equivalent, block=plain.block, name="wrong claim"), "caught", "t", 1.0),
        ]
        (record,) = STUDY["summarize"](outcomes)
        assert (record["mutants"], record["caught"], record["equivalent"]) == (4, 2, 2)
        assert record["not_as_claimed"] == ["second", "wrong claim"]
        STUDY["show"]([record])
        shown = capsys.readouterr().out
        assert "50.0%" in shown
        assert "second: survived: nothing noticed it" in shown
        assert equivalent.equivalent in shown


@needs_verilator
def test_a_caught_and_a_surviving_mutant() -> None:
    first = next(m for m in CATALOGUE if m.block == "FIFO")
    chosen = [
        first,
        replace(first, name="said otherwise", replace="put_valid and level < depth", by="level < depth and put_valid"),
        replace(
            first, name="no hardware", replace="put_valid and level < depth", by="[put_valid][0] and level < depth"
        ),
    ]
    outcomes = STUDY["study"]([replace(m, select="verilated and stalls") for m in chosen], jobs=1)
    assert [o.verdict for o in outcomes] == ["caught", "survived"]
    assert [o.good for o in outcomes] == [True, False]


def test_a_failing_baseline_ends_the_study() -> None:
    fails = replace(next(m for m in CATALOGUE if m.block == "FIFO"), select="no_such_test")
    with pytest.raises(STUDY["StudyError"], match="FIFO: its tests fail without any mutant"):
        STUDY["study"]([fails], jobs=1)


def test_list_and_words_of_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert STUDY["main"](["--list", "--block", "FIFO"]) == 0
    assert "takes one beat too many" in capsys.readouterr().out
    assert STUDY["main"](["--block", "clock"]) == 2
    assert "--block: got clock, allowed: FIFO, " in capsys.readouterr().err
    assert STUDY["main"](["--mutant", "perfect"]) == 2
    assert "--mutant: got perfect, allowed: part of a name that --list shows" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        STUDY["main"](["--jobs", "0"])
    assert "--jobs: got 0, allowed: 1 or more" in capsys.readouterr().err


FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_mutant_that_hangs_takes_its_tools_with_it() -> None:
    """Tools run in process groups of their own."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        STUDY["kill_with_children"](parent.pid)
        assert parent.wait(120) == -signal.SIGKILL
    limit = time.monotonic() + 120
    while time.monotonic() < limit and _runs(child):
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
