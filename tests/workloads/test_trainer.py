"""The training loop: resumed runs have the bits of uninterrupted ones; it learns; it refuses what it cannot do."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads.trainer
from rtl_models.errors import InputError
from rtl_models.formats import BFLOAT16, BINARY16, BINARY32
from tests.workloads.synthetic import small_network
from tests.workloads.test_trace_file import assert_same
from workloads.checkpoint import CHECKPOINT, Progress, read_checkpoint, write_checkpoint
from workloads.digits import DIGITS, load_digits_split
from workloads.learner import MachineLearner, make_learner
from workloads.network import load_network
from workloads.record import Arithmetic
from workloads.sealed_file import write_sealed
from workloads.trace_file import open_trace
from workloads.trainer import accuracy, evaluation_batch, train
from workloads.training_settings import TrainingSettings
from workloads.training_state import initial_state
from workloads.training_step import train_step

TINY = small_network(
    name="tiny", input={"shape": [8, 8, 1], "exponent": 4}, timesteps=2, layers=[{"linear": 7}, {"linear": 10}]
)
ARITHMETIC = Arithmetic(micro_batch=400)
SETTINGS = TrainingSettings(TINY, 8, 8, ARITHMETIC, batch=400, seed=3)  # three steps an epoch, the last one is partial


@dataclasses.dataclass
class Paths:
    trace: Path
    checkpoint: Path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "step.h5", tmp_path / "step.h5.checkpoint")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Progress:
    """The run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return train(SETTINGS, folder / "step.h5", folder / "step.h5.checkpoint").progress


class Breaking(MachineLearner):
    """A learner in which Ctrl-C is pressed in the `moment`-th call, of steps and evaluations alike."""

    def __init__(self, moment: int) -> None:
        super().__init__(SETTINGS)
        self.moment = moment

    def _count(self) -> None:
        self.moment -= 1
        if self.moment == 0:
            raise KeyboardInterrupt

    def step(self, *arguments: Any) -> Any:
        self._count()
        return super().step(*arguments)

    def logits(self, *arguments: Any) -> Any:
        self._count()
        return super().logits(*arguments)


def assert_same_run(a: Progress, b: Progress) -> None:
    for name in ("master", "momentum", "weights"):
        assert_same(getattr(a.state, name), getattr(b.state, name), name)
    for field in dataclasses.fields(Progress):
        if field.name not in ("state", "seconds"):
            assert getattr(a, field.name) == getattr(b, field.name), field.name


@pytest.mark.parametrize("moment", range(1, 24))
def test_interrupted_runs_end_with_the_same_bits(whole: Progress, paths: Paths, moment: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, paths.trace, paths.checkpoint, learner=Breaking(moment))
    assert paths.trace.exists() == (moment > 18)  # the last evaluation comes after the captured step
    result = train(SETTINGS, paths.trace, paths.checkpoint)
    assert_same_run(result.progress, whole)
    with open_trace(paths.trace) as trace:
        assert trace.digest == whole.captured
    assert sorted(path.name for path in paths.trace.parent.iterdir()) == ["step.h5", "step.h5.checkpoint"]


def test_ctrl_c_loses_no_step(paths: Paths) -> None:
    def report(progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, paths.trace, paths.checkpoint, report)
    assert train(SETTINGS, paths.trace, paths.checkpoint).started_at == 5


def test_a_killed_run_loses_at_most_an_epoch(whole: Progress, paths: Paths) -> None:
    class KilledError(Exception):
        """Stands for SIGKILL: no handler of the trainer catches it."""

    def report(progress: Progress) -> None:
        if progress.step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train(SETTINGS, paths.trace, paths.checkpoint, report)
    result = train(SETTINGS, paths.trace, paths.checkpoint)
    assert result.started_at == 3
    assert_same_run(result.progress, whole)


def test_killed_between_trace_and_checkpoint(whole: Progress, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(workloads.trainer, "write_checkpoint", fail)
        with pytest.raises(RuntimeError, match="killed"):
            train(dataclasses.replace(SETTINGS, capture=2), paths.trace, paths.checkpoint)
    assert paths.trace.exists()
    result = train(dataclasses.replace(SETTINGS, capture=2), paths.trace, paths.checkpoint)
    assert result.progress.captured != whole.captured
    assert result.progress.history == whole.history


def written(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written or replaced; its time of access, which reading changes, is left out."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def test_a_finished_run_costs_nothing(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(SETTINGS, paths.trace, paths.checkpoint)
    assert first.started_at == 0
    before = written(paths.trace), written(paths.checkpoint)
    monkeypatch.setattr(workloads.trainer, "make_learner", None)  # whoever calls it fails
    again = train(SETTINGS, paths.trace, paths.checkpoint)
    assert again.started_at == 8
    assert_same_run(again.progress, first.progress)
    assert (written(paths.trace), written(paths.checkpoint)) == before


def test_loop_equals_steps_taken_by_hand() -> None:
    settings = dataclasses.replace(SETTINGS, steps=4, capture=4)
    state = initial_state(TINY, settings.arithmetic, settings.seed)
    batches = [*DIGITS.epoch_batches(3, 0, 400), next(DIGITS.epoch_batches(3, 1, 400))]
    losses, correct = [], []
    for number, batch in enumerate(batches, start=1):
        optimiser = settings.optimiser(number, 12)
        result = train_step(TINY, settings.arithmetic, state, batch.images, batch.labels, optimiser)
        state = result.state
        losses.append(result.loss)
        correct.append((result.logits.argmax(axis=1) == batch.labels).sum())
    progress = train(settings).progress
    assert_same(progress.state.master, state.master)
    assert [entry.loss for entry in progress.history] == [sum(losses[:3]) / 3, losses[3]]
    assert [entry.accuracy for entry in progress.history] == [sum(correct[:3]) / 1200, correct[3] / 400]
    assert progress.loss == losses[3]


def test_capture_of_any_step(paths: Paths) -> None:
    settings = dataclasses.replace(SETTINGS, capture=5)
    progress = train(settings, paths.trace, paths.checkpoint).progress
    batch = list(DIGITS.epoch_batches(3, 1, 400))[1]  # step 5 is the second of the second epoch
    with open_trace(paths.trace) as trace:
        assert (trace.step, trace.seed, trace.dataset, trace.digest) == (5, 3, "digits", progress.captured)
        assert np.array_equal(trace.inputs(), batch.images)
        assert np.array_equal(trace.labels, batch.labels)
        assert trace.optimiser == settings.optimiser(5, 12)
        assert trace.network == TINY


def test_capture_changes_no_bit(whole: Progress) -> None:
    assert_same(train(SETTINGS).progress.state.master, whole.state.master)


def test_it_learns() -> None:
    settings = TrainingSettings(load_network("digits-mlp"), 176, 1, Arithmetic(micro_batch=32))
    history = train(settings).progress.history
    assert [entry.steps for entry in history] == [44] * 4
    assert history[-1].loss < 0.7 * history[0].loss
    assert history[-1].held_out_accuracy > 0.8


def test_history_says_what_was_measured(whole: Progress) -> None:
    assert [(entry.epoch, entry.steps) for entry in whole.history] == [(1, 3), (2, 3), (3, 2)]
    held_out = load_digits_split().held_out
    assert whole.history[-1].held_out_accuracy == accuracy(SETTINGS, MachineLearner(SETTINGS), whole, held_out)
    logits = MachineLearner(SETTINGS).logits(whole.state, held_out.images)
    assert whole.history[-1].held_out_accuracy == (logits.argmax(axis=1) == held_out.labels).mean()


def test_learning_rate_falls_along_a_cosine() -> None:
    settings = dataclasses.replace(SETTINGS, steps=100, capture=1)
    rates = [settings.optimiser(step, 12).learning_rate for step in range(1, 101)]
    assert rates[0] == np.float32(0.1)
    assert rates[50] == np.float32(0.05)
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert 0 < rates[-1] < 1e-4
    assert rates[0].dtype == np.float32


def test_dynamic_scale_resumes_too(paths: Paths) -> None:
    settings = dataclasses.replace(SETTINGS, scale_log2=30, dynamic_scale=True)
    plain = train(settings).progress
    assert plain.skipped_steps > 0
    assert plain.nonfinite > 0
    assert plain.state.scale_log2 == 30 - plain.skipped_steps

    def report(progress: Progress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, None, paths.checkpoint, report)
    assert_same_run(train(settings, None, paths.checkpoint).progress, plain)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("seed", {"seed": 4}),
        ("batch", {"batch": 300}),
        ("capture", {"capture": 2}),
        ("k", {"arithmetic": Arithmetic(k=2)}),
        ("lanes", {"arithmetic": Arithmetic(lanes=4)}),
        ("micro-batch", {"arithmetic": Arithmetic(micro_batch=4)}),
        ("value-format", {"arithmetic": Arithmetic(value=BFLOAT16)}),
        ("sum-format", {"arithmetic": Arithmetic(sum=BINARY16)}),
        ("learning-rate", {"learning_rate": 0.2}),
        ("momentum", {"momentum": 0.5}),
        ("weight-decay", {"weight_decay": 0.1}),
        ("scale-log2", {"scale_log2": 10}),
        ("dynamic-scale", {"dynamic_scale": True}),
        ("network timesteps", {"network": dataclasses.replace(TINY, timesteps=3)}),
        ("network name", {"network": dataclasses.replace(TINY, name="other")}),
    ],
)
def test_words_for_another_runs_checkpoint(whole: Progress, paths: Paths, key: str, changes: dict[str, Any]) -> None:
    write_checkpoint(paths.checkpoint, SETTINGS.to_dict(), whole)
    text = (
        rf"{paths.checkpoint}: {key}: the checkpoint belongs to a run with another value; give that, or another output"
    )
    with pytest.raises(InputError, match=text):
        train(dataclasses.replace(SETTINGS, **changes), None, paths.checkpoint)


def test_words_for_a_longer_run(whole: Progress, paths: Paths) -> None:
    write_checkpoint(paths.checkpoint, SETTINGS.to_dict(), whole)
    text = r"steps: the learning rate falls along a cosine over the whole run, .*, got 9, allowed: 8$"
    with pytest.raises(InputError, match=text):
        train(dataclasses.replace(SETTINGS, steps=9), None, paths.checkpoint)


def test_words_for_a_lost_trace(paths: Paths) -> None:
    train(SETTINGS, paths.trace, paths.checkpoint)
    paths.trace.unlink()
    text = (
        "step.h5: training is past the captured step, but its trace is not there; remove the checkpoint to start again"
    )
    with pytest.raises(InputError, match=text):
        train(SETTINGS, paths.trace, paths.checkpoint)
    train(dataclasses.replace(SETTINGS, seed=5), paths.trace)
    with pytest.raises(InputError, match=f"{text}, got '[0-9a-f]{{64}}', allowed: [0-9a-f]{{64}}$"):
        train(SETTINGS, paths.trace, paths.checkpoint)


def test_checkpoint_round_trip(whole: Progress, paths: Paths) -> None:
    write_checkpoint(paths.checkpoint, SETTINGS.to_dict(), whole)
    progress = read_checkpoint(paths.checkpoint, SETTINGS.to_dict())
    assert progress is not None
    assert_same_run(progress, whole)
    assert progress.seconds == whole.seconds


def test_words_for_broken_checkpoints(whole: Progress, paths: Paths) -> None:
    write_checkpoint(paths.checkpoint, SETTINGS.to_dict(), whole)
    content = paths.checkpoint.read_bytes()
    cases = {
        content[:-1]: "the checkpoint is truncated",
        content[:-1] + bytes([content[-1] ^ 1]): "the checkpoint is damaged: wrong checksum",
        content.replace(
            b"schema 1\n", b"schema 2\n", 1
        ): "the checkpoint has another schema version, got 2, allowed: 1$",
        b"garbage" * 200: "not an HDF5 file",
    }
    for damaged, text in cases.items():
        paths.checkpoint.write_bytes(damaged)
        with pytest.raises(InputError, match=text):
            train(SETTINGS, None, paths.checkpoint)
    write_sealed(paths.checkpoint, CHECKPOINT, lambda file: None)
    with pytest.raises(InputError, match="does not hold what schema 1 of a checkpoint demands"):
        train(SETTINGS, None, paths.checkpoint)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steps": 0}, "steps: wrong value, got 0, allowed: a whole number >= 1$"),
        ({"capture": 0}, r"capture: wrong value, got 0, allowed: a whole number 1\.\.8$"),
        ({"capture": 9}, r"capture: wrong value, got 9, allowed: a whole number 1\.\.8$"),
        ({"seed": -1}, "seed: wrong value, got -1, allowed: a whole number 0"),
        ({"seed": 2**63}, "seed: wrong value, got 9223372036854775808"),
        ({"batch": 2000}, r"batch: wrong value, got 2000, allowed: 1\.\.1437"),
        ({"scale_log2": 127}, r"scale-log2: wrong value, got 127, allowed: a whole number -126\.\.126$"),
        (
            {"learning_rate": float("nan")},
            r"learning-rate: wrong value, got nan, allowed: a number 0\.\.3\.40282e\+38$",
        ),
        ({"learning_rate": 1e39}, "learning-rate: wrong value, got 1e.39"),
        ({"momentum": -0.5}, "momentum: wrong value, got -0.5"),
        ({"weight_decay": float("inf")}, "weight-decay: wrong value, got inf"),
        ({"learner": "float8"}, "learner: unknown learner, got 'float8', allowed: machine, float32$"),
        ({"arithmetic": Arithmetic(k=0)}, r"k: wrong value, got 0, allowed: a whole number 1\.\.8$"),
        ({"arithmetic": Arithmetic(k=9)}, r"k: wrong value, got 9, allowed: a whole number 1\.\.8$"),
        ({"arithmetic": Arithmetic(lanes=12)}, r"lanes: wrong value, got 12, allowed: a power of two, 1\.\.1024$"),
        ({"arithmetic": Arithmetic(lanes=0)}, "lanes: wrong value, got 0, allowed: a power of two"),
        ({"arithmetic": Arithmetic(micro_batch=0)}, "micro-batch: wrong value, got 0, allowed: a whole number >= 1$"),
        (
            {"arithmetic": Arithmetic(value=BINARY32, sum=BINARY16)},
            "sum-format: wrong value, got 'binary16', allowed: binary32 or the value format binary32$",
        ),
        ({"network": small_network()}, "small: input: no data set has images of this shape"),
        ({"dataset_name": "photographs"}, "tiny: input: the photographs cannot be fed to this network"),
        ({"dataset_name": "faces"}, "dataset: unknown data set, got 'faces', allowed: digits, photographs, photo"),
    ],
)
def test_words_for_settings(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        train(dataclasses.replace(SETTINGS, **changes))


@pytest.mark.parametrize("path", ["trace", "checkpoint"])
def test_unwritable_folder_is_found_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(workloads.trainer, "make_learner", None)
    places: dict[str, Any] = {path: tmp_path / "none" / "file"}
    with pytest.raises(InputError, match="none: the output folder does not exist"):
        train(SETTINGS, **places)


def test_float32_baseline_starts_alike_and_learns(paths: Paths) -> None:
    network = load_network("digits-mlp")
    settings = TrainingSettings(network, 176, 1, Arithmetic(micro_batch=32), learner="float32")
    machine = dataclasses.replace(settings, learner="machine")
    assert_same(make_learner(settings).initial_state().master, make_learner(machine).initial_state().master)
    progress = train(settings, checkpoint=paths.checkpoint).progress
    assert progress.history[-1].held_out_accuracy > 0.8
    assert progress.state.master[0].dtype == np.float32
    assert progress.history[0].loss == pytest.approx(train(machine).progress.history[0].loss, rel=0.02)
    with pytest.raises(InputError, match=r"step.h5.checkpoint: learner: the checkpoint belongs to a run with another"):
        train(machine, checkpoint=paths.checkpoint)


def test_words_for_a_trace_of_the_float32_baseline(paths: Paths) -> None:
    settings = dataclasses.replace(SETTINGS, learner="float32")
    with pytest.raises(
        InputError, match=r"learner: the float32 baseline has no trace, got 'float32', allowed: machine$"
    ):
        train(settings, paths.trace)
    learner = make_learner(settings)
    batch = next(DIGITS.epoch_batches(0, 0, 4))
    with pytest.raises(ValueError, match="step 3: a float32 step has no record"):
        learner.step(learner.initial_state(), batch.images, batch.labels, settings.optimiser(3, 12), 3, capture=True)


def test_evaluation_batches_fit_the_memory() -> None:
    assert evaluation_batch(load_network("digits-mlp")) == 72
    neurons = 2 * 32 * 32 * 128 + 16 * 16 * 128 + 2 * 16 * 16 * 256 + 8 * 8 * 256 + 2 * 8 * 8 * 512 + 4 * 4 * 512
    images = evaluation_batch(load_network("cifar-cnn"))
    assert images == (1 << 28) // (6 * (neurons + 1024 + 512 + 10) * 10) == 8
    huge = small_network(
        input={"shape": [1000, 1000, 1]}, layers=[{"conv": {"channels": 99, "kernel": [1, 1]}}, {"linear": 10}]
    )
    assert evaluation_batch(huge) == 1


def test_report_sees_every_step() -> None:
    seen: list[int] = []
    report: Callable[[Progress], None] = lambda progress: seen.append(progress.step)  # noqa: E731
    train(SETTINGS, report=report)
    assert seen == list(range(1, 9))
