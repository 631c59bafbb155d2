"""A training step of four images for the smallest machine, as a trace file, and studies of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.steps import RATES
from tlm.analysis.cluster.study import ScalingStudy
from workloads.network import parse_network
from workloads.record import Arithmetic
from workloads.trace_file import Trace, open_trace, write_trace
from workloads.training_step import initial_state, training_step

PRESET = "tiny"
ARITHMETIC = Arithmetic(k=3, lanes=4, micro_batch=1)
NETWORK = {
    "input": {"shape": [4, 3, 2], "coding": "spikes"},
    "timesteps": 2,
    "layers": [{"linear": 12}, {"linear": 8}, {"linear": 4}],
}
IMAGES = 4


@pytest.fixture(scope="session")
def trace_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace; images differ in how much they fire."""
    network = parse_network(NETWORK, "cluster")
    rng = np.random.default_rng(3)
    rates = np.linspace(0.1, 0.8, IMAGES)[:, None, None, None]
    inputs = (rng.random((network.timesteps, IMAGES, 4, 3, 2)) < rates).astype(np.uint8)
    state = initial_state(network, ARITHMETIC, 1)
    labels = rng.integers(0, network.classes, IMAGES)
    path = tmp_path_factory.mktemp("traces") / "step.h5"
    write_trace(training_step(network, ARITHMETIC, state, inputs, labels, RATES, 7, 1, "random"), path)
    return path


@pytest.fixture
def trace(trace_path: Path) -> Iterator[Trace]:
    """The trace, open."""
    with open_trace(trace_path) as opened:
        yield opened


@pytest.fixture
def study(trace_path: Path) -> ScalingStudy:
    """Up to eight chips, in this process."""
    return ScalingStudy(str(trace_path), chips="1,2,4,8", config=PRESET, workers=1)
