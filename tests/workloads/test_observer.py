"""What is noted of a step, and what of it is handed on."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.workloads.synthetic import random_record, small_network
from workloads.learner import Outcome
from workloads.observer import ObservingLearner
from workloads.underflow import underflow_of

RECORD = random_record(small_network(layers=[{"linear": 10}, {"linear": 10}]))
for layer in RECORD.layers:
    layer.subnormal.update(forward_tables=2, update_tables=3)
    layer.nonfinite.update(forward_tables=0, update_tables=1)


class Recorded:
    """A learner whose steps are skipped, and which remembers whether it was to capture."""

    def __init__(self) -> None:
        self.captured: list[bool] = []

    def step(self, *arguments: Any) -> Outcome:
        self.captured.append(arguments[-1])
        record = RECORD if arguments[-1] else None
        return Outcome(SimpleNamespace(), 1.5, np.zeros(0), True, 3, 4, record)  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "capture"), [(7, False), (7, True), (8, False), (8, True)])
def test_only_what_is_asked_for_is_counted_and_kept(number: int, capture: bool) -> None:
    plain = Recorded()
    arguments: tuple[Any, ...] = (None, None, None, None, number, capture)
    outcome = ObservingLearner(plain, closely=(7,)).step(*arguments)  # type: ignore[arg-type]
    assert plain.captured == [capture or number == 7]
    assert outcome.record is (RECORD if capture else None)
    counts = [asdict(row) for row in underflow_of(RECORD)] if number == 7 else []
    assert outcome.observed == {"step": number, "loss": 1.5, "skipped": True, "underflow": counts}
    assert (outcome.loss, outcome.skipped, outcome.nonfinite, outcome.subnormal) == (1.5, True, 3, 4)
