"""A comparison of number formats: equal starts, resumable runs with the same bits, tables, pictures and mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.figure import Figure
from matplotlib.text import Text

from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32
from tests.pictures import assert_shows_something
from tlm.analysis.arithmetic.plots import training_figure, underflow_figure, write_plots
from tlm.analysis.arithmetic.runs import train_run, train_runs
from tlm.analysis.arithmetic.study import JOURNAL, ArithmeticStudy, compare_arithmetic, plan_runs
from tlm.analysis.arithmetic.tables import shares, write_tables
from tlm.processes import Died, Pool
from workloads.trainer import train

TINY = {
    "name": "tiny",
    "input": {"shape": [8, 8, 1], "exponent": 4},
    "timesteps": 2,
    "layers": [{"linear": 7}, {"linear": 10}],
}
FORMATS = "float32,binary16,bfloat16"
FILES = ["comparison.journal", "comparison.json", "epochs.csv", "steps.csv", "training.png", "underflow.csv"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("network") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return str(path)


def study(network: str, **changes: Any) -> ArithmeticStudy:
    given = {"formats": FORMATS, "seeds": "0,3", "steps": 4, "batch": 400, "micro_batch": 400, "points": 3}
    return ArithmeticStudy(network, **{**given, "workers": 1, **changes})


@pytest.fixture(scope="module")
def folder(network: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a whole comparison leaves, pictures included."""
    out = tmp_path_factory.mktemp("comparison")
    content = compare_arithmetic(study(network), out)
    write_plots(out, content)
    return out


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(figure: Figure) -> set[str]:
    """Every text of a figure that is not made while it is drawn."""
    return {text.get_text() for text in figure.findobj(Text)}


class TestPlan:
    def test_formats_and_seeds(self, network: str) -> None:
        runs = plan_runs(study(network, formats="float32, bfloat16,binary16/binary16", k=3))
        assert [run.name for run in runs[::2]] == ["float32 seed 0", "bfloat16 seed 0", "binary16/binary16 seed 0"]
        assert [run.settings.seed for run in runs] == [0, 3] * 3
        assert [run.settings.learner for run in runs[::2]] == ["float32", "machine", "machine"]
        formats = [(run.settings.arithmetic.value, run.settings.arithmetic.sum) for run in runs[2::2]]
        assert formats == [(BFLOAT16, BINARY32), (BINARY16, BINARY16)]
        assert {(run.settings.arithmetic.k, run.settings.steps) for run in runs} == {(3, 4)}

    def test_every_run_has_the_settings_of_the_study(self, network: str) -> None:
        asked = {
            "batch": 24,
            "learning_rate": 0.25,
            "momentum": 0.5,
            "weight_decay": 0.125,
            "scale_log2": 7,
            "dynamic_scale": True,
            "dataset_name": "digits",
            "evaluated": 60,
        }
        widths = {"k": 5, "lanes": 8, "micro_batch": 4}
        runs = plan_runs(study(network, formats="binary16,float32", seeds="2", points=7, **asked, **widths))
        for run in runs:
            assert {key: getattr(run.settings, key) for key in asked} == asked
            assert {key: getattr(run.settings.arithmetic, key) for key in widths} == widths
            assert (run.settings.steps, run.settings.seed, run.points) == (4, 2, 7)

    def test_epochs(self, network: str) -> None:
        assert {run.settings.steps for run in plan_runs(study(network, steps=None, epochs=2))} == {6}
        assert {run.settings.steps for run in plan_runs(study(network, steps=None))} == {30}

    @pytest.mark.parametrize(("points", "steps", "found"), [(3, 11, (1, 6, 11)), (1, 9, (1,)), (9, 2, (1, 2))])
    def test_steps_that_are_looked_at(self, network: str, points: int, steps: int, found: tuple[int, ...]) -> None:
        baseline, _, run, *_ = plan_runs(study(network, points=points, steps=steps))
        assert run.observed == found
        assert baseline.observed == ()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"formats": "float16"}, "--formats: unknown number format, got 'float16', allowed: float32, or VALUE or"),
            ({"formats": "binary16/"}, "--formats: unknown number format, got 'binary16/'"),
            ({"formats": "binary16,,float32"}, "--formats: an empty entry in the list, got 'binary16,,float32'"),
            ({"formats": "binary16/bfloat16"}, "sum-format: wrong value, got 'bfloat16', allowed: binary32 or the"),
            ({"formats": "binary16,binary16"}, "--formats: is named twice, got 'binary16'"),
            ({"seeds": "0,one"}, "--seeds: wrong value in the list, got 'one', allowed: whole numbers, 0 or more"),
            ({"seeds": ""}, "--seeds: an empty entry in the list, got '', allowed: a list such as 0,1,2"),
            ({"seeds": "1,1"}, "--seeds: is named twice, got '1'"),
            ({"epochs": 1}, "compare-arithmetic: give --epochs or --steps, not both, got '--epochs 1 --steps 4'"),
            ({"steps": None, "epochs": 0}, "epochs: wrong value, got 0, allowed: a whole number >= 1"),
            ({"steps": 0}, "steps: wrong value, got 0"),
            ({"points": 0}, "--points: wrong value, got 0, allowed: a whole number >= 1"),
            ({"workers": 0}, "--workers: wrong value, got 0"),
            ({"k": 9}, "k: wrong value, got 9"),
            ({"learning_rate": -1.0}, "learning-rate: wrong value, got -1.0"),
            ({"network": "digits"}, "network: unknown network, got 'digits'"),
            ({"data": "there"}, "data: no such folder, got 'there'"),
        ],
    )
    def test_mistakes(self, network: str, changes: dict[str, Any], words: str, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            compare_arithmetic(study(**{"network": network, **changes}), tmp_path / "out")
        assert words in str(caught.value)
        assert not (tmp_path / "out").exists()


class TestResults:
    def test_files(self, folder: Path) -> None:
        assert sorted(path.name for path in folder.iterdir()) == [*FILES, "underflow.png"]

    def test_every_run_is_that_of_train(self, folder: Path, network: str) -> None:
        content = json.loads((folder / "comparison.json").read_text())
        for run, entry in zip(plan_runs(study(network)), content["runs"], strict=True):
            wanted = train(run.settings).progress
            assert entry["epochs"] == [vars(epoch) for epoch in wanted.history]
            assert (entry["format"], entry["seed"]) == (run.label, run.settings.seed)
            assert entry["skipped_steps"] == wanted.skipped_steps
            assert [step["step"] for step in entry["steps"]] == [1, 2, 3, 4]
            assert entry["steps"][-1]["loss"] == wanted.loss

    def test_summary(self, folder: Path) -> None:
        content = json.loads((folder / "comparison.json").read_text())
        assert (content["network"], content["dataset"], content["taken_over"]) == ("tiny", "digits", 0)
        assert (content["asked"]["steps"], content["asked"]["points"]) == (4, 3)
        for row in content["formats"]:
            last = [run["epochs"][-1] for run in content["runs"] if run["format"] == row["format"]]
            accuracies = sorted(epoch["held_out_accuracy"] for epoch in last)
            assert [row["held_out_accuracy_low"], row["held_out_accuracy_high"]] == accuracies
            assert row["held_out_accuracy"] == pytest.approx(sum(accuracies) / 2)
            assert row["loss"] == pytest.approx(sum(epoch["loss"] for epoch in last) / 2)
        assert content["formats"][0]["underflow"] == {}
        assert set(content["formats"][1]["underflow"]) > {"g16", "du", "W16", "dW"}

    def test_a_format_s_seeds_are_put_together(self, network: str, tmp_path: Path) -> None:
        def result(skipped: int, subnormal: dict[int, int], losses: tuple[float, ...]) -> dict[str, Any]:
            counts = {"layer": "fc1", "tensor": "du", "values": 10, "flushed": 0, "nonfinite": 0}
            steps = [
                {"step": step, "loss": 1.0, "skipped": False, "underflow": [counts | {"subnormal": found}]}
                for step, found in subnormal.items()
            ]
            history = [{"epoch": n, "loss": loss, "held_out_accuracy": loss / 8} for n, loss in enumerate(losses)]
            return {"history": history, "observed": steps, "skipped_steps": skipped, "seconds": 1.0}

        one, other = plan_runs(study(network, formats="binary16"))
        results = [(one, result(2, {1: 9, 4: 1}, (8.0, 4.0))), (other, result(3, {1: 8, 4: 2}, (8.0, 2.0)))]
        content = write_tables(tmp_path, results, 1)
        assert content["formats"] == [
            {
                "format": "binary16",
                "seeds": 2,
                "loss": 3.0,
                "held_out_accuracy": 0.375,
                "held_out_accuracy_low": 0.25,
                "held_out_accuracy_high": 0.5,
                "skipped_steps": 5,
                "underflow": {"du": 3 / 20},
            }
        ]
        assert [run["skipped_steps"] for run in content["runs"]] == [2, 3]
        assert (content["taken_over"], content["asked"]["learning-rate"]) == (1, 0.1)

    def test_tables(self, folder: Path) -> None:
        assert len(read(folder / "epochs.csv")) == 6 * 2
        steps = read(folder / "steps.csv")
        assert len(steps) == 6 * 4
        assert list(steps[0]) == ["format", "seed", "step", "loss", "skipped"]
        rows = read(folder / "underflow.csv")
        columns = ["format", "seed", "step", "layer", "tensor", "values", "subnormal", "flushed", "nonfinite"]
        assert list(rows[0]) == columns
        assert {row["format"] for row in rows} == {"binary16", "bfloat16"}
        assert {row["step"] for row in rows} == {"1", "2", "4"}

    def test_pictures(self, folder: Path) -> None:
        content = json.loads((folder / "comparison.json").read_text())
        for name in ("training.png", "underflow.png"):
            assert_shows_something(folder / name)
        content["runs"][0]["steps"][1]["loss"] = None  # a loss that was not finite
        training, lost = training_figure(content), underflow_figure(content)
        assert {"float32", "binary16", "bfloat16", "loss less that of float32", "held-out accuracy"} <= words(training)
        assert {"binary16", "bfloat16", "g16", "du", "forward tables"} <= words(lost)
        assert len(lost.axes) == 2

    def test_shares(self) -> None:
        row = {"tensor": "du", "step": 1, "values": 10, "subnormal": 1, "flushed": 2}
        found = shares([row, row | {"values": 20, "flushed": 0}, row | {"step": 2, "values": 0, "subnormal": 0}])
        assert found["du"] == {1: 4 / 30}
        assert found["g16"] == {}


class TestGoingOn:
    def test_the_same_again_and_more(self, folder: Path, network: str, tmp_path: Path) -> None:
        (tmp_path / JOURNAL).write_bytes((folder / JOURNAL).read_bytes())
        told: list[tuple[str, int, int]] = []
        more = compare_arithmetic(
            study(network, formats=f"{FORMATS},binary32", seeds="0"), tmp_path, lambda *words: told.append(words)
        )
        assert more["taken_over"] == 3
        assert [run["format"] for run in more["runs"]] == [*FORMATS.split(","), "binary32"]
        assert told == [("runs", 3, 4), *(("binary32 seed 0", step, 4) for step in (1, 2, 3, 4)), ("runs", 4, 4)]
        assert sorted(path.name for path in tmp_path.iterdir()) == [name for name in FILES if name != "training.png"]

    def test_an_interrupted_run_has_the_same_bits(self, network: str, tmp_path: Path) -> None:
        run = plan_runs(study(network))[2]
        whole = train_run(run, tmp_path)
        run.checkpoint(tmp_path).unlink()
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                train_run(run, tmp_path, stopping=lambda: True)
        seconds = {"seconds": 0.0}
        assert train_run(run, tmp_path) | seconds == whole | seconds

    def test_two_at_once(self, network: str, tmp_path: Path) -> None:
        class Second(Exception):
            pass

        def report(*_: object) -> None:
            words = f"--out: a comparison is being written into this folder by another process, got '{tmp_path}'"
            with pytest.raises(InputError) as caught:
                compare_arithmetic(study(network), tmp_path)
            assert str(caught.value) == words
            raise Second

        with pytest.raises(Second):
            compare_arithmetic(study(network), tmp_path, report)

    def test_a_run_whose_process_dies(self, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        runs = plan_runs(study(network, workers=2))
        monkeypatch.setattr(Pool, "run", lambda pool, tasks, work: iter([(tasks[0], Died(3))]))
        with pytest.raises(InputError, match="float32 seed 0: its process died 3 times: out of memory"):
            list(train_runs(runs, tmp_path, 2, lambda *_: None))


@pytest.mark.slow
def test_processes_keep_their_steps_when_interrupted(network: str, tmp_path: Path) -> None:
    asked = study(network, formats="binary16,bfloat16", steps=400, batch=8, micro_batch=8, workers=2)
    whole = compare_arithmetic(asked, tmp_path / "whole")

    def report(phase: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_arithmetic(asked, tmp_path / "out", report)
    assert list((tmp_path / "out").glob("*.checkpoint"))
    again = compare_arithmetic(asked, tmp_path / "out")
    assert again["taken_over"] >= 1
    for ours, theirs in zip(again["runs"], whole["runs"], strict=True):
        assert ours | {"seconds": 0} == theirs | {"seconds": 0}
