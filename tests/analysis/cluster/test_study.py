"""A whole scaling study: its rows, what it takes over, and what it refuses."""

from __future__ import annotations

import json
import pickle
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from tests.pictures import assert_shows_something, texts
from tlm.analysis import simulations
from tlm.analysis.bandwidth import captures
from tlm.analysis.cluster.collective import Links, LinkTiming
from tlm.analysis.cluster.plots import scaling_figure, write_plot
from tlm.analysis.cluster.points import Captured
from tlm.analysis.cluster.study import SCALING, ScalingStudy, run_scaling
from tlm.analysis.cluster.worker import JOURNAL, Simulated
from tlm.analysis.simulations import Measurement, Processes, Task, open_journal
from tlm.processes import Died


def by_key(content: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    return {(row["scaling"], row["topology"], row["chips"]): row for row in content["rows"]}


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[Simulated]:
    """What is really simulated, in this process."""
    done: list[Simulated] = []
    run = Simulated.__call__

    def counted(self: Simulated, *step: Any) -> Measurement:
        done.append(self)
        return run(self, *step)

    monkeypatch.setattr(Simulated, "__call__", counted)
    return done


def test_rows_of_a_study(study: ScalingStudy, tmp_path: Path, simulated: list[Simulated]) -> None:
    content = run_scaling(replace(study, batch=16, full="4"), tmp_path)
    assert json.loads((tmp_path / SCALING).read_text()) == json.loads(json.dumps(content))
    rows = by_key(content)
    assert len(rows) == 16
    assert (content["captured_images"], content["micro_batch_images"], content["gradient_bytes"]) == (4, 1, 1664)
    # one and two chips have 16 and 8 images each, told from steps of 3 and of 4; eight chips have two, of four
    strong = [rows["strong", "ring", n] for n in (1, 2, 4, 8)]
    assert [row["chip_images"] for row in strong] == [16, 8, 4, 2]
    assert [row["different_chips"] for row in strong] == [1, 1, 1, 2]
    assert [row["told_from_images"] for row in strong] == [[3, 4], [3, 4], None, None]
    weak = [rows["weak", "tree", n] for n in (1, 2, 4, 8)]
    assert [row["batch_images"] for row in weak] == [4, 8, 16, 32]
    for row in rows.values():
        one = rows[row["scaling"], row["topology"], 1]
        more = 1 if row["scaling"] == "strong" else row["chips"]
        assert row["speedup"] == pytest.approx(more * one["step_ps"] / row["step_ps"])
        assert row["efficiency"] == pytest.approx(row["speedup"] / row["chips"])
        assert 0 <= row["exposed_ps"] <= row["all_reduce_ps"] <= row["step_ps"]
    assert rows["weak", "ring", 1]["exposed_ps"] == rows["weak", "ring", 1]["all_reduce_ps"] == 0
    full = {key: row["full_ps"] for key, row in rows.items() if row["full_ps"] is not None}
    assert full.keys() == {(s, t, 4) for s in ("strong", "weak") for t in ("ring", "tree")}
    for key, full_ps in full.items():
        assert rows[key]["step_ps"] == pytest.approx(full_ps, rel=0.03)
    # shares of 4, 3, 2 + 2 images and 1 held, 1 free; ring and tree in full, the same for strong and weak scaling
    assert len(simulated) == 6 + 2


def test_other_links_simulate_no_chip_again(study: ScalingStudy, tmp_path: Path, simulated: list[Simulated]) -> None:
    first = by_key(run_scaling(study, tmp_path))
    del simulated[:]
    second = by_key(run_scaling(replace(study, link_gb_per_s=1.0, chips="1,8", topology="ring"), tmp_path))
    assert simulated == []
    assert second["weak", "ring", 1]["step_ps"] == first["weak", "ring", 1]["step_ps"]
    assert second["weak", "ring", 8]["step_ps"] > first["weak", "ring", 8]["step_ps"]
    run_scaling(replace(study, overrides=("dram.latency_ps=60000",)), tmp_path)
    assert simulated  # another machine


def test_simulations_go_to_other_processes_as_they_are() -> None:
    links = Links("tree", LinkTiming(25_000, 10), 64)
    one = Simulated((Captured(8, 4).share(1, 2),), links=links)
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_file(study: ScalingStudy, tmp_path: Path) -> None:
    for workers in (1, 2):
        run_scaling(replace(study, workers=workers), tmp_path / str(workers))
    assert (tmp_path / "1" / SCALING).read_bytes() == (tmp_path / "2" / SCALING).read_bytes()


def test_the_picture(study: ScalingStudy, tmp_path: Path) -> None:
    content = run_scaling(study, tmp_path)
    assert_shows_something(write_plot(tmp_path, content))
    assert {
        "strong scaling, batch 8 in all",
        "weak scaling, batch 4 a chip",
        "ring: step",
        "tree: exposed all-reduce",
        "efficiency (speedup a chip)",
    } <= texts(scaling_figure(content))


def test_a_network_is_trained_for_two_micro_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "cache_folder", lambda: tmp_path / "cache")
    path = tmp_path / "net.yaml"
    path.write_text(
        "{name: net, input: {shape: [8, 8, 1], exponent: 4}, timesteps: 1, layers: [{linear: 6}, {linear: 10}]}"
    )
    asked = ScalingStudy(str(path), chips="2", scaling="weak", config="tiny", workers=1)
    content = run_scaling(asked, tmp_path)
    assert (content["captured_images"], content["micro_batch_images"]) == (2, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chips": "0"}, r"--chips: wrong value in the list, got '0', allowed: whole numbers, 1 or more"),
        ({"chips": "1,2.5"}, r"--chips: wrong value in the list, got '2.5'"),
        ({"topology": "star"}, r"--topology: unknown name in the list, got 'star', allowed: ring, tree"),
        ({"scaling": "linear"}, r"--scaling: unknown name in the list, got 'linear', allowed: strong, weak"),
        ({"workers": 0}, r"--workers: wrong value, got 0"),
        ({"target": "nothing.h5"}, r"study scaling: unknown network or trace, got 'nothing.h5', allowed: cifar-cnn"),
        ({"images": 4}, r"--images: a trace has its own; give a network to have others captured, got 4"),
        (
            {"full": "3"},
            r"--full: no cluster of so many chips can be simulated in full from this trace, got 3, allowed: numbers in "
            r"--chips with at most 4 images a chip",
        ),
        ({"full": "1", "scaling": "strong"}, r"--full: no cluster of so many chips .*, got 1"),
    ],
)
def test_mistakes(study: ScalingStudy, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_scaling(replace(study, **options), tmp_path)


def test_a_folder_that_another_study_writes(study: ScalingStudy, tmp_path: Path) -> None:
    words = r"--out: the study is being written into this folder by another process"
    with open_journal(tmp_path / JOURNAL, "the study"), pytest.raises(InputError, match=words):
        run_scaling(study, tmp_path)


def test_a_chip_that_cannot_be(study: ScalingStudy, tmp_path: Path) -> None:
    words = r"^study scaling: buffers.spikes_bytes: the spikes buffer cannot hold .*, got 8, allowed: at least \d+$"
    with pytest.raises(InputError, match=words):
        run_scaling(replace(study, overrides=("buffers.spikes_bytes=8",)), tmp_path)
    assert not (tmp_path / SCALING).exists()


def test_a_process_that_dies_is_said_so(study: ScalingStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_self: Processes, tasks: Sequence[Task]) -> Generator[tuple[Task, Died], None, None]:
        yield tasks[0], Died(3)

    monkeypatch.setattr(simulations.Processes, "run", die)
    with pytest.raises(InputError, match=r"study scaling: its process died 3 times: out of memory\?"):
        run_scaling(study, tmp_path)
