"""What the training loop trains with: the machine's arithmetic, or float32 as the baseline it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workloads.dataset import Images, as_inputs
from workloads.float_step import float_logits, float_step, sgd_update
from workloads.initialise import initial_weights
from workloads.normalise import STATISTICS_IMAGES, normalised_weights
from workloads.record import Floats, OptimiserConstants, StepRecord
from workloads.training_settings import FLOAT32, TrainingSettings
from workloads.training_state import TrainingState, state_after, state_of
from workloads.training_step import forward_logits, train_step, training_step


@dataclass(frozen=True)
class Outcome:
    """What one step gave: the state after it, and counts of non-finite and subnormal stored values.

    `observed` is what a learner that watches training noted of the step, as JSON holds it.
    """

    state: TrainingState
    loss: float
    logits: NDArray[np.float64]
    skipped: bool
    nonfinite: int
    subnormal: int
    record: StepRecord | None
    observed: dict[str, Any] | None = None


class Learner(Protocol):
    """One way to take a training step."""

    def initial_state(self) -> TrainingState:
        """State before the first step."""

    def step(
        self,
        state: TrainingState,
        inputs: Images,
        labels: NDArray[np.int64],
        optimiser: OptimiserConstants,
        number: int,
        capture: bool,
    ) -> Outcome:
        """Take step `number` from `state`, which stays as it is; with `capture` the outcome has the step's record."""

    def logits(self, state: TrainingState, inputs: Images) -> NDArray[np.float64]:
        """Logits [B, classes] of `inputs` under the weights of `state`."""


class MachineLearner:
    """Training in the machine's arithmetic, bit for bit (docs/contract.md)."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings

    def initial_state(self) -> TrainingState:
        """Seeded weights, normalised where the network file asks for it."""
        settings = self._settings
        return state_of(settings.network, settings.arithmetic, starting_weights(settings), settings.scale_log2)

    def step(
        self,
        state: TrainingState,
        inputs: Images,
        labels: NDArray[np.int64],
        optimiser: OptimiserConstants,
        number: int,
        capture: bool,
    ) -> Outcome:
        """One bit-exact step."""
        settings = self._settings
        network, arithmetic = settings.network, settings.arithmetic
        if capture:
            run = (number, settings.seed, settings.dataset.name)
            record = training_step(network, arithmetic, state, inputs, labels, optimiser, *run)
            record = replace(record, training=settings.training_run)
            counts = [(layer.nonfinite, layer.subnormal) for layer in record.layers]
            after, loss, logits, skipped = state_after(record, state), record.loss, record.logits, record.skipped
        else:
            record = None
            result = train_step(network, arithmetic, state, inputs, labels, optimiser)
            counts = list(zip(result.nonfinite, result.subnormal, strict=True))
            after, loss, logits, skipped = result.state, result.loss, result.logits, result.skipped
        nonfinite = sum(sum(layer.values()) for layer, _ in counts)
        subnormal = sum(sum(layer.values()) for _, layer in counts)
        return Outcome(after, loss, logits, skipped, nonfinite, subnormal, record)

    def logits(self, state: TrainingState, inputs: Images) -> NDArray[np.float64]:
        """Forward pass in the machine's arithmetic."""
        return forward_logits(self._settings.network, self._settings.arithmetic, state.weights, inputs)


class FloatLearner:
    """Training in float32, sums in no particular order: the baseline. There is no loss scale, record or count."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        self._network = settings.network

    def initial_state(self) -> TrainingState:
        """The seeded weights that the machine starts from, before rounding; `master` and `weights` are the same."""
        weights = starting_weights(self._settings)
        return TrainingState(weights, tuple(np.zeros_like(matrix) for matrix in weights), weights)

    def step(
        self,
        state: TrainingState,
        inputs: Images,
        labels: NDArray[np.int64],
        optimiser: OptimiserConstants,
        number: int,
        capture: bool,
    ) -> Outcome:
        """One float32 step; raises ValueError if it is to be captured."""
        if capture:
            raise ValueError(f"step {number}: a float32 step has no record")
        result = float_step(self._network, state.master, inputs, labels, np.float32)
        gradients = tuple(layer.weight_gradient for layer in result.layers)
        rates = (float(optimiser.learning_rate), float(optimiser.momentum), float(optimiser.weight_decay))
        master, momentum = sgd_update(state.master, state.momentum, gradients, rates)
        after = TrainingState(master, momentum, master)
        logits = np.asarray(result.logits, np.float64)
        return Outcome(after, result.loss, logits, False, nonfinite=0, subnormal=0, record=None)

    def logits(self, state: TrainingState, inputs: Images) -> NDArray[np.float64]:
        """Forward pass in float32."""
        return np.asarray(float_logits(self._network, state.master, inputs, np.float32), np.float64)


def starting_weights(settings: TrainingSettings) -> tuple[Floats, ...]:
    """Return the binary32 weights that a run starts from: given ones, or seeded, normalised by its first images."""
    network, seed = settings.network, settings.seed
    weights = initial_weights(network, seed)
    if not network.normalise:
        return weights
    first = next(settings.dataset.epoch_batches(seed, 0, settings.batch))
    images = first.take(np.arange(min(STATISTICS_IMAGES, settings.batch))).images
    return normalised_weights(network, settings.arithmetic, weights, as_inputs(images, network))


def make_learner(settings: TrainingSettings) -> Learner:
    """Return the learner that `settings` names."""
    return FloatLearner(settings) if settings.learner == FLOAT32 else MachineLearner(settings)
