"""Everything that decides the bits of a training run, checked once before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtl_models.errors import InputError
from rtl_models.formats import BINARY32
from workloads.dataset import Dataset
from workloads.datasets import choose_dataset
from workloads.network import Network
from workloads.record import Arithmetic, OptimiserConstants, TrainingRun

MACHINE = "machine"
FLOAT32 = "float32"
DEFAULT_EPOCHS = 25
_LARGEST_SEED = 2**63 - 1  # a trace keeps the seed in 64 bits
_LARGEST_LANES = 1024  # far above any array that fits a chip; bounds the padding to whole tiles
_LARGEST_RATE = float(np.finfo(np.float32).max)  # rates are binary32
_LARGEST_SCALE = 126  # 2^q and 2^-q are normal binary32 numbers


@dataclass(frozen=True)
class TrainingSettings:
    """A run of `steps` steps: SGD with momentum, the learning rate falling along a cosine over all steps.

    `capture` is the step (from 1) whose record becomes the trace, with the first `capture_batch` images of its batch
    (None: all of them): the record is of the step that these images alone would take from the same state, while the
    training goes on with the whole batch. `evaluated` bounds the held-out images that accuracy is measured on.
    `learner` is ``machine`` (the machine's arithmetic, bit-exact) or ``float32`` (the baseline, which knows no
    `arithmetic`). The loss scale is 2^`scale_log2`.
    `dataset_name` names the data set and `data` the folder of its files, where it has any; both None stand for the one
    that comes with the package and has the shape of the network's input.
    """

    network: Network
    steps: int
    capture: int
    arithmetic: Arithmetic = Arithmetic()  # noqa: RUF009 - frozen
    batch: int = 32
    seed: int = 0
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    scale_log2: int = 12
    dynamic_scale: bool = False
    learner: str = MACHINE
    dataset_name: str | None = None
    capture_batch: int | None = None
    evaluated: int | None = None
    data: str | None = None

    @property
    def dataset(self) -> Dataset:
        """The data set that the network is trained on; raises InputError if there is none for it."""
        return choose_dataset(self.network, self.dataset_name, self.data)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training images."""
        return self.dataset.steps_per_epoch(self.batch)

    @property
    def training_run(self) -> TrainingRun:
        """What a captured step says of the run that it belongs to."""
        dataset = self.dataset
        run = TrainingRun(self.steps, self.batch, dataset.training, self.learning_rate, dataset.description)
        return run if self.network.weights is None else replace(run, weights=self.network.weights.digest)

    @property
    def captured_images(self) -> int:
        """Images in the record of the captured step."""
        return self.batch if self.capture_batch is None else self.capture_batch

    @property
    def evaluated_images(self) -> int:
        """Held-out images that accuracy is measured on."""
        held_out = self.dataset.held_out
        return held_out if self.evaluated is None else min(self.evaluated, held_out)

    def check(self) -> None:
        """Raise InputError, naming the setting, if one has a value that cannot be used."""
        dataset = self.dataset
        check_arithmetic(self.arithmetic)
        dataset.steps_per_epoch(self.batch)
        check_whole("steps", self.steps, 1)
        check_whole("capture", self.capture, 1, self.steps)
        check_whole("capture-batch", self.captured_images, 1, self.batch)
        if self.evaluated is not None:
            check_whole("evaluated", self.evaluated, 0)
        check_whole("seed", self.seed, 0, _LARGEST_SEED)
        check_scale(self.scale_log2)
        check_rate("learning-rate", self.learning_rate)
        check_rate("momentum", self.momentum)
        check_rate("weight-decay", self.weight_decay)
        if self.learner not in (MACHINE, FLOAT32):
            raise InputError("unknown learner", "learner", self.learner, f"{MACHINE}, {FLOAT32}")

    def optimiser(self, step: int, scale_log2: int) -> OptimiserConstants:
        """Return the constants of step `step` (from 1); the rates are computed in binary64 and rounded once."""
        angle = math.pi * (step - 1) / self.steps
        return OptimiserConstants(
            learning_rate=np.float32(0.5 * self.learning_rate * (1.0 + math.cos(angle))),
            momentum=np.float32(self.momentum),
            weight_decay=np.float32(self.weight_decay),
            scale_log2=scale_log2,
            dynamic_scale=self.dynamic_scale,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain values, one level deep: what a checkpoint is compared by."""
        network = {f"network {key}": value for key, value in self.network.to_dict().items()}
        weights = {} if self.network.weights is None else {"weights": self.network.weights.digest}
        return (
            network
            | weights
            | {
                "dataset": self.dataset.name,
                "training-images": self.dataset.training,
                "value-format": self.arithmetic.value.name,
                "sum-format": self.arithmetic.sum.name,
                "k": self.arithmetic.k,
                "lanes": self.arithmetic.lanes,
                "micro-batch": self.arithmetic.micro_batch,
                "learner": self.learner,
                "batch": self.batch,
                "seed": self.seed,
                "steps": self.steps,
                "capture": self.capture,
                "capture-batch": self.captured_images,
                "evaluated": self.evaluated,
                "learning-rate": self.learning_rate,
                "momentum": self.momentum,
                "weight-decay": self.weight_decay,
                "scale-log2": self.scale_log2,
                "dynamic-scale": self.dynamic_scale,
            }
        )


def check_arithmetic(arithmetic: Arithmetic) -> None:
    """Raise InputError for parameters that the machine cannot have (docs/contract.md)."""
    check_whole("k", arithmetic.k, 1, 8)
    lanes = arithmetic.lanes
    if not 1 <= lanes <= _LARGEST_LANES or lanes & (lanes - 1):
        raise InputError("wrong value", "lanes", lanes, f"a power of two, 1..{_LARGEST_LANES}")
    check_whole("micro-batch", arithmetic.micro_batch, 1)
    if arithmetic.sum not in (BINARY32, arithmetic.value):
        allowed = f"{BINARY32.name} or the value format {arithmetic.value.name}"
        raise InputError("wrong value", "sum-format", arithmetic.sum.name, allowed)


def check_whole(name: str, value: int, lowest: int, highest: int | None = None) -> None:
    """Raise InputError if `value` lies outside `lowest`..`highest`."""
    if value < lowest or (highest is not None and value > highest):
        allowed = f"a whole number >= {lowest}" if highest is None else f"a whole number {lowest}..{highest}"
        raise InputError("wrong value", name, value, allowed)


def check_scale(scale_log2: int) -> None:
    """Raise InputError unless 2^`scale_log2` can be a loss scale."""
    check_whole("scale-log2", scale_log2, -_LARGEST_SCALE, _LARGEST_SCALE)


def check_rate(name: str, value: float) -> None:
    """Raise InputError unless `value` is a rate of the descent: 0 or more, and within binary32."""
    if not 0.0 <= value <= _LARGEST_RATE:  # false for NaN
        raise InputError("wrong value", name, value, f"a number 0..{_LARGEST_RATE:g}")
