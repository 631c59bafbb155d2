"""The same network trained in several number formats, from the same weights and batches, as tables and one file."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from rtl_models.errors import InputError
from rtl_models.formats import BINARY32, format_by_name
from tlm.analysis.arithmetic.runs import Report, Result, Run, train_runs
from tlm.analysis.arithmetic.tables import Content, write_tables
from tlm.journal import Journal
from workloads.datasets import choose_dataset
from workloads.network import load_network
from workloads.record import Arithmetic
from workloads.training_settings import FLOAT32, MACHINE, TrainingSettings, check_whole

JOURNAL = "comparison.journal"
DEFAULT_EPOCHS = 10
_ALLOWED = "float32, or VALUE or VALUE/SUM of binary16, bfloat16, binary32, e.g. binary16/binary16"


@dataclass(frozen=True)
class ArithmeticStudy:
    """What to compare; lists are texts as on the command line. The rest are settings of a training run."""

    network: str
    formats: str = "float32,binary16,bfloat16"
    seeds: str = "0,1"
    epochs: int | None = None
    steps: int | None = None
    points: int = 25
    batch: int = 32
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    scale_log2: int = 12
    dynamic_scale: bool = False
    k: int = 4
    lanes: int = 16
    micro_batch: int = 8
    dataset_name: str | None = None
    data: str | None = None
    evaluated: int | None = None
    workers: int | None = None


def compare_arithmetic(study: ArithmeticStudy, out: Path, report: Report = lambda phase, done, total: None) -> Content:
    """Train every format from every seed, write the tables into the folder `out` and return what is in the JSON one.

    A run that is done is kept in a journal in `out`, one under way in its checkpoint: the same command goes on where
    an interrupted one was, and one with more formats or seeds trains only those. Raises InputError for a user's
    mistake.
    """
    runs = plan_runs(study)
    journal: Journal[str, Result] = Journal(out / JOURNAL, "a comparison", _as_is, _as_is)
    with journal:
        if not journal.recording:
            raise InputError("a comparison is being written into this folder by another process", "--out", str(out))
        found = {run.key: journal.done[run.key] for run in runs if run.key in journal.done}
        taken_over = len(found)
        report("runs", taken_over, len(runs))
        missing = [run for run in runs if run.key not in found]
        with closing(train_runs(missing, out, study.workers, report)) as finished:
            for run, result in finished:
                journal.add(run.key, result)
                found[run.key] = result
                run.checkpoint(out).unlink(missing_ok=True)
                report("runs", len(found), len(runs))
    return write_tables(out, [(run, found[run.key]) for run in runs], taken_over)


def plan_runs(study: ArithmeticStudy) -> list[Run]:
    """Return the runs, seed by seed in each format; raises InputError for what cannot be run."""
    if study.epochs is not None and study.steps is not None:
        what = "give --epochs or --steps, not both"
        raise InputError(what, "compare-arithmetic", f"--epochs {study.epochs} --steps {study.steps}")
    if study.workers is not None:
        check_whole("--workers", study.workers, 1)
    check_whole("--points", study.points, 1)
    base = _base_settings(study)
    seeds = [_seed(text) for text in _parse_names(study.seeds, "--seeds", "a list such as 0,1,2")]
    runs = []
    for label in _parse_names(study.formats, "--formats", _ALLOWED):
        learner, arithmetic = _parse_format(label, base.arithmetic)
        for seed in seeds:
            settings = replace(base, arithmetic=arithmetic, learner=learner, seed=seed)
            settings.check()
            runs.append(Run(label, settings, study.points))
    return runs


def _base_settings(study: ArithmeticStudy) -> TrainingSettings:
    """The settings that all runs share, which a trace's `capture` is no part of."""
    network, steps = load_network(study.network), study.steps
    if steps is None:
        epochs = DEFAULT_EPOCHS if study.epochs is None else study.epochs
        check_whole("epochs", epochs, 1)
        steps = epochs * choose_dataset(network, study.dataset_name, study.data).steps_per_epoch(study.batch)
    return TrainingSettings(
        network,
        steps,
        steps,
        Arithmetic(k=study.k, lanes=study.lanes, micro_batch=study.micro_batch),
        batch=study.batch,
        learning_rate=study.learning_rate,
        momentum=study.momentum,
        weight_decay=study.weight_decay,
        scale_log2=study.scale_log2,
        dynamic_scale=study.dynamic_scale,
        dataset_name=study.dataset_name,
        data=study.data,
        evaluated=study.evaluated,
    )


def _parse_names(text: str, option: str, allowed: str) -> list[str]:
    """Return the entries of a list; InputError for an empty one and for one that is named twice."""
    names = [name.strip() for name in text.split(",")]
    for number, name in enumerate(names):
        if not name:
            raise InputError("an empty entry in the list", option, text, allowed)
        if name in names[:number]:
            raise InputError("is named twice", option, name)
    return names


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InputError("wrong value in the list", "--seeds", text, "whole numbers, 0 or more, e.g. 0,1,2")
    return int(text)


def _parse_format(label: str, base: Arithmetic) -> tuple[str, Arithmetic]:
    """Return (learner, arithmetic) of ``float32``, ``binary16`` or ``binary16/binary16``."""
    if label == FLOAT32:
        return FLOAT32, base
    value, _, total = label.partition("/")
    try:
        formats = (format_by_name(value), format_by_name(total) if "/" in label else BINARY32)
    except InputError as error:
        raise InputError("unknown number format", "--formats", label, _ALLOWED) from error
    return MACHINE, replace(base, value=formats[0], sum=formats[1])


def _as_is(result: Result) -> Result:
    return result
