"""Traces over the stages of a run: the right steps of one training, kept, used again, resumed with the same bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads.trainer
from rtl_models.errors import InputError
from tests.workloads.synthetic import small_network
from tests.workloads.test_trace_file import assert_same
from tests.workloads.test_trainer import written
from workloads.checkpoint import Progress
from workloads.learner import MachineLearner
from workloads.record import Arithmetic, TrainingRun
from workloads.stages import (
    Stage,
    capture_stages,
    checkpoint_path,
    plan_stages,
    read_progress,
    stage_figures,
)
from workloads.trace_file import open_trace
from workloads.trainer import train
from workloads.training_settings import TrainingSettings

TINY = small_network(
    name="tiny", input={"shape": [8, 8, 1], "exponent": 4}, timesteps=2, layers=[{"linear": 7}, {"linear": 10}]
)
SETTINGS = TrainingSettings(TINY, 10, 10, Arithmetic(micro_batch=400), batch=400, seed=3)  # three steps an epoch
STEPS = {0: 1, 20: 2, 50: 5, 100: 10}
PERCENTS = tuple(STEPS)


def digests(stages: tuple[Stage, ...]) -> list[str]:
    found = []
    for stage in stages:
        with open_trace(stage.path) as trace:
            found.append(trace.digest)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, ...]:
    """The run that nothing interrupted."""
    return capture_stages(SETTINGS, tmp_path_factory.mktemp("whole"), PERCENTS)


class CountingLearner(MachineLearner):
    """The machine's learner, which counts its steps and can break in the `moment`-th."""

    def __init__(self, settings: TrainingSettings, moment: int = 0) -> None:
        super().__init__(settings)
        self.steps = 0
        self.moment = moment

    def step(self, *arguments: Any, **named: Any) -> Any:
        self.steps += 1
        if self.steps == self.moment:
            raise KeyboardInterrupt
        return super().step(*arguments, **named)


def test_stages_are_the_steps_of_one_training_run(whole: tuple[Stage, ...], tmp_path: Path) -> None:
    assert [(stage.percent, stage.step, stage.reused) for stage in whole] == [(p, s, False) for p, s in STEPS.items()]
    for stage in whole:
        train(dataclasses.replace(SETTINGS, capture=stage.step), tmp_path / "alone.h5")
        with open_trace(stage.path) as trace, open_trace(tmp_path / "alone.h5") as alone:
            assert trace.digest == alone.digest
            assert (trace.step, trace.batch) == (stage.step, 400)


def test_names_and_what_the_folder_holds(whole: tuple[Stage, ...]) -> None:
    stem = "tiny-digits-seed3-batch400-steps10-rate0.1"
    assert [stage.path.name for stage in whole] == [f"{stem}-at{percent:03d}.h5" for percent in STEPS]
    kept = sorted(path.name for path in whole[0].path.parent.iterdir())
    assert kept == sorted([*(stage.path.name for stage in whole), f"{stem}.checkpoint"])
    odd = dataclasses.replace(SETTINGS, network=dataclasses.replace(TINY, name="../a b"), capture_batch=3)
    assert plan_stages(odd, Path("f"), [100])[0].path == Path(
        "f/.._a_b-digits-seed3-batch400-steps10-rate0.1-first3-at100.h5"
    )


def test_stages_that_are_there_are_used_again(whole: tuple[Stage, ...]) -> None:
    learner = CountingLearner(SETTINGS)
    before = [written(stage.path) for stage in whole]
    again = capture_stages(SETTINGS, whole[0].path.parent, reversed_percents(), learner=learner)
    assert [stage.reused for stage in again] == [True] * 4
    assert [written(stage.path) for stage in again] == before
    assert learner.steps == 0
    progress = read_progress(SETTINGS, whole[0].path.parent)
    assert progress is not None
    assert len(progress.history) == 4


def reversed_percents() -> list[int]:
    return list(reversed(PERCENTS))


@pytest.mark.parametrize("moment", range(1, 11))
def test_interrupted_captures_end_with_the_same_bits(whole: tuple[Stage, ...], tmp_path: Path, moment: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        capture_stages(SETTINGS, tmp_path, PERCENTS, learner=CountingLearner(SETTINGS, moment))
    done = [stage.step for stage in whole if (tmp_path / stage.path.name).exists()]
    assert done == [step for step in STEPS.values() if step < moment]
    learner = CountingLearner(SETTINGS)
    again = capture_stages(SETTINGS, tmp_path, PERCENTS, learner=learner)
    assert [stage.step for stage in again if stage.reused] == done
    assert learner.steps == 11 - moment  # Ctrl-C lost no step
    assert digests(again) == digests(whole)


def test_a_killed_capture_goes_on_from_its_last_stage(whole: tuple[Stage, ...], tmp_path: Path) -> None:
    class KilledError(Exception):
        """Stands for SIGKILL: no handler catches it."""

    def report(progress: Progress) -> None:
        if progress.step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        capture_stages(SETTINGS, tmp_path, PERCENTS, report)
    learner = CountingLearner(SETTINGS)
    assert digests(capture_stages(SETTINGS, tmp_path, PERCENTS, learner=learner)) == digests(whole)
    assert learner.steps == 5


def test_long_runs_are_saved_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads.trainer, "SAVE_SECONDS", 0.0)

    def report(progress: Progress) -> None:
        if progress.step == 2:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        capture_stages(SETTINGS, tmp_path, [100], report)
    progress = read_progress(SETTINGS, tmp_path)
    assert progress is not None
    assert progress.step == 2


def test_a_lost_or_damaged_stage_is_captured_again(whole: tuple[Stage, ...], tmp_path: Path) -> None:
    stages = capture_stages(SETTINGS, tmp_path, PERCENTS)
    stages[0].path.unlink()
    stages[1].path.write_bytes(stages[1].path.read_bytes()[:-1])
    learner = CountingLearner(SETTINGS)
    again = capture_stages(SETTINGS, tmp_path, PERCENTS, learner=learner)
    assert [stage.reused for stage in again] == [False, False, True, True]
    assert learner.steps == 2  # the checkpoint stands at the end: from the first step to the last that is missing
    assert digests(again) == digests(whole)


def test_a_stage_of_another_version_is_captured_again(
    whole: tuple[Stage, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda name: "0.0")
        capture_stages(SETTINGS, tmp_path, [0])
    (stage,) = capture_stages(SETTINGS, tmp_path, [0])
    assert not stage.reused
    assert digests((stage,)) == digests(whole[:1])


def test_a_part_of_the_batch_is_captured_from_the_same_state(whole: tuple[Stage, ...], tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, capture_batch=3)
    stages = capture_stages(settings, tmp_path, PERCENTS)
    for part, full in zip(stages, whole, strict=True):
        with open_trace(part.path) as trace, open_trace(full.path) as all_of_it:
            assert trace.batch == 3
            assert_same(trace.inputs(), all_of_it.inputs()[:3])
            assert np.array_equal(trace.labels, all_of_it.labels[:3])
            for layer in range(2):
                assert_same(trace.weights(layer), all_of_it.weights(layer))  # trained with the whole batch
                assert_same(trace.momentum(layer), all_of_it.momentum(layer))
            assert_same(trace.spikes(0), all_of_it.spikes(0)[:, :3])
            assert trace.training == all_of_it.training


def test_what_a_trace_says_of_its_run(whole: tuple[Stage, ...]) -> None:
    with open_trace(whole[2].path) as trace:
        run = trace.training
        assert trace.record().training == run
    assert run == TrainingRun(10, 400, 1437, 0.1, SETTINGS.dataset.description)
    assert run.epochs == 4000 / 1437
    assert run.epochs_before(5) == 1600 / 1437
    assert not run.brief
    assert run.words(5) == "step 5 of 10, batch 400, 2.8 epochs in all"
    brief = dataclasses.replace(run, steps=3)
    assert brief.brief
    assert brief.words(1) == "step 1 of 3, batch 400, 0.84 epochs in all, briefly trained"
    assert not dataclasses.replace(run, steps=3, batch=479).brief


def test_figures_of_a_stage(whole: tuple[Stage, ...]) -> None:
    figures = stage_figures(whole[3])
    with open_trace(whole[3].path) as trace:
        assert (figures.percent, figures.step, figures.loss) == (100, 10, trace.loss)
        assert figures.layers == (trace.sparsity(0), trace.sparsity(1))
        assert figures.training == trace.training


def test_evaluation_of_a_part_of_the_held_out_images(whole: tuple[Stage, ...], tmp_path: Path) -> None:
    none, some = (dataclasses.replace(SETTINGS, evaluated=count) for count in (0, 7))
    assert (none.evaluated_images, some.evaluated_images, SETTINGS.evaluated_images) == (0, 7, 360)
    assert dataclasses.replace(SETTINGS, evaluated=10**6).evaluated_images == 360
    assert len(workloads.trainer.evaluation_samples(some).labels) == 7
    assert digests(capture_stages(none, tmp_path, PERCENTS)) == digests(whole)
    progress = read_progress(some, tmp_path)
    assert progress is not None
    assert all(np.isnan(entry.held_out_accuracy) for entry in progress.history)


@pytest.mark.parametrize(
    ("percents", "text"),
    [
        ([], "stages: at least one percentage is needed$"),
        ([0, 101], r"stages: wrong value, got 101, allowed: a whole number 0\.\.100$"),
        ([-1], "stages: wrong value, got -1, allowed"),
        (
            [50, 10, 0],
            "stages: 0 % and 10 % of the run are the same step; take more steps or fewer stages, got 'step 1 of 10'$",
        ),
        ([50, 50], "stages: 50 % and 50 % of the run are the same step"),
    ],
)
def test_words_for_wrong_stages(tmp_path: Path, percents: list[int], text: str) -> None:
    with pytest.raises(InputError, match=text):
        capture_stages(SETTINGS, tmp_path / "none", percents)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"learner": "float32"}, "learner: the float32 baseline has no traces, got 'float32', allowed: machine$"),
        ({"capture_batch": 401}, r"capture-batch: wrong value, got 401, allowed: a whole number 1\.\.400$"),
        ({"capture_batch": 0}, "capture-batch: wrong value, got 0"),
        ({"evaluated": -1}, "evaluated: wrong value, got -1, allowed: a whole number >= 0$"),
    ],
)
def test_words_for_wrong_settings(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        capture_stages(dataclasses.replace(SETTINGS, **changes), tmp_path)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("momentum", {"momentum": 0.5}),
        ("weight-decay", {"weight_decay": 0.1}),
        ("scale-log2", {"scale_log2": 10}),
        ("dynamic-scale", {"dynamic_scale": True}),
        ("arithmetic", {"arithmetic": Arithmetic(k=2, micro_batch=400)}),
        ("network timesteps", {"network": dataclasses.replace(TINY, timesteps=3)}),
    ],
)
def test_words_for_stages_of_another_run(whole: tuple[Stage, ...], key: str, changes: dict[str, Any]) -> None:
    text = rf"at000\.h5: {key}: the trace belongs to a run with another value; give that, or another folder, got "
    with pytest.raises(InputError, match=text):
        capture_stages(dataclasses.replace(SETTINGS, **changes), whole[0].path.parent, PERCENTS)


def test_words_for_a_checkpoint_of_another_run(tmp_path: Path) -> None:
    capture_stages(SETTINGS, tmp_path, [0])
    text = r"steps10-rate0\.1\.checkpoint: momentum: the checkpoint belongs to a run with another value"
    with pytest.raises(InputError, match=text):
        capture_stages(dataclasses.replace(SETTINGS, momentum=0.5), tmp_path, [50])
    checkpoint_path(SETTINGS, tmp_path).unlink()
    assert capture_stages(dataclasses.replace(SETTINGS, momentum=0.5), tmp_path, [50])


def test_words_for_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"folder: the folder of traces cannot be made \(Not a directory\)$"):
        capture_stages(SETTINGS, tmp_path / "file" / "folder", PERCENTS)
