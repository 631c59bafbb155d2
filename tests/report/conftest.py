"""Simulated steps and their `result.json`, shared by the tests of the reports."""

from __future__ import annotations

import pytest

from tests.end_to_end.steps import BUFFERS, make_trace, small_buffers, tiny_config
from tlm.report.result import build_result
from tlm.simulation import SimulationResult, simulate

STEPS = [("spikes", "linear", 9), ("direct", "deep", 4)]


class Run:
    """One simulated step: trace, result and the content of `result.json`."""

    def __init__(self, step: tuple[str, str, int], *overrides: str) -> None:
        self.trace = make_trace(*step)
        self.config = tiny_config(*overrides)
        self.result: SimulationResult = simulate(self.trace, self.config, occupancy=True)
        provenance = {"command": "h2learn run", "trace": "step.h5"}
        self.content = build_result(
            self.trace, self.config, self.result, training=None, cosim=None, provenance=provenance
        )


@pytest.fixture(scope="session", params=[False, True], ids=["large", "small"])
def linear(request: pytest.FixtureRequest) -> Run:
    """A step of two layers, with large buffers and with buffers too small for everything."""
    step = ("spikes", "linear", 9)
    return Run(step, *(small_buffers(step, *BUFFERS) if request.param else ()))


@pytest.fixture(scope="session")
def deep() -> Run:
    """A step of nine layers in which nothing fits: many streams, many reasons."""
    step = ("direct", "deep", 4)
    return Run(step, *small_buffers(step, *BUFFERS))
