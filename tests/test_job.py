"""The main job as a function: phases it reports, results it returns, and a loss that is not finite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end.steps import TINY, make_record
from tlm.job import Job, run_job
from workloads.trace_file import Trace, open_trace, write_trace

pytestmark = pytest.mark.usefixtures("blank_pictures")

NETWORK = "input: {shape: [8, 8, 1], exponent: 4}\ntimesteps: 2\nlayers: [{linear: 5}, {linear: 10}]\n"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_trace(make_record("spikes", "linear", 2), tmp_path / "step.h5")
    return Job(str(tmp_path / "step.h5"), overrides=TINY, cosim="none")


def test_it_returns_what_it_writes_and_reports_each_phase(job: Job, tmp_path: Path) -> None:
    phases: list[tuple[str, int, int]] = []
    content = run_job(job, tmp_path / "out", "h2learn run", lambda *phase: phases.append(phase))
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == content
    assert phases == [("simulation", 0, 1), ("simulation", 1, 1)]
    assert content["provenance"]["command"] == "h2learn run"


def test_the_same_job_twice_differs_in_nothing(job: Job, tmp_path: Path) -> None:
    first = run_job(job, tmp_path / "first")
    assert run_job(job, tmp_path / "second") == first
    for name in ("timeline.json", "transactions.parquet"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_trace_is_opened_once(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def noted(path: Path) -> Trace:
        opened.append(path)
        return open_trace(path)

    monkeypatch.setattr("tlm.job.open_trace", noted)
    run_job(job, tmp_path / "out")
    assert opened == [Path(job.target)]


def test_a_waveform_comes_where_asked_for_and_none_of_another_run_stays(job: Job, tmp_path: Path) -> None:
    run_job(replace(job, vcd=True), tmp_path / "out")
    assert "$scope module chip $end" in (tmp_path / "out" / "chip.vcd").read_text()
    run_job(job, tmp_path / "out")
    assert not (tmp_path / "out" / "chip.vcd").exists()


def test_training_that_diverges_still_ends_in_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tlm import job as module

    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    train = module.train

    def diverging(*arguments, **options):  # type: ignore[no-untyped-def]
        result = train(*arguments, **options)
        history = (*result.progress.history[:-1], replace(result.progress.history[-1], loss=float("nan")))
        return replace(result, progress=replace(result.progress, history=history))

    monkeypatch.setattr(module, "train", diverging)
    phases: list[str] = []
    job = Job(str(path), cosim="none", batch=700)
    content = run_job(job, tmp_path / "out", report=lambda phase, *_: phases.append(phase))
    assert content["training"]["loss"] is None
    assert set(phases) == {"training", "simulation"}
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == content


def test_a_run_that_fails_leaves_the_results_of_the_one_before(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_job(job, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr("tlm.job.write_plots", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_job(replace(job, overrides=(*TINY, "pipeline=none")), out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
