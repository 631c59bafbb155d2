"""A learner that notes how training went, step by step, and at some steps what the number formats lost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from workloads.dataset import Images
from workloads.learner import Learner, Outcome
from workloads.record import OptimiserConstants
from workloads.training_state import TrainingState
from workloads.underflow import underflow_of


class ObservingLearner:
    """Takes the steps of another learner; `closely` are those steps (from 1) whose stored values are counted.

    Every outcome has in `observed`: step, loss, skipped, and under "underflow" the counts, which are empty for steps
    that are not looked at closely.
    """

    def __init__(self, learner: Learner, closely: Collection[int]) -> None:
        self._learner = learner
        self._closely = frozenset(closely)

    def initial_state(self) -> TrainingState:
        """State before the first step."""
        return self._learner.initial_state()

    def step(
        self,
        state: TrainingState,
        inputs: Images,
        labels: NDArray[np.int64],
        optimiser: OptimiserConstants,
        number: int,
        capture: bool,
    ) -> Outcome:
        """Take a step and note it."""
        closely = number in self._closely
        outcome = self._learner.step(state, inputs, labels, optimiser, number, capture or closely)
        counts = underflow_of(outcome.record) if closely and outcome.record is not None else ()
        observed = {
            "step": number,
            "loss": outcome.loss,
            "skipped": outcome.skipped,
            "underflow": [asdict(row) for row in counts],
        }
        return replace(outcome, record=outcome.record if capture else None, observed=observed)

    def logits(self, state: TrainingState, inputs: Images) -> NDArray[np.float64]:
        """Logits [B, classes] of `inputs` under the weights of `state`."""
        return self._learner.logits(state, inputs)
