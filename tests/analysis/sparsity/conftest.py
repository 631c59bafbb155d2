"""A real training step for the smallest machine, and a study of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tlm.analysis.sparsity.study import SparsityStudy, run_sparsity
from tlm.config import load_config
from workloads.network import parse_network
from workloads.trace_file import Trace, open_trace
from workloads.trainer import train
from workloads.training_settings import TrainingSettings

SEED = 3
NETWORK = {
    "input": {"shape": [8, 8, 1], "exponent": 4},
    "timesteps": 2,
    "layers": [
        {"conv": {"channels": 5, "kernel": [3, 3], "stride": 2, "padding": 1}},
        {"conv": {"channels": 4, "kernel": [3, 3], "padding": 1, "bias": True}},
        {"linear": 6},
        {"linear": 10},
    ],
}


@pytest.fixture(scope="package")
def trace_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "step.h5"
    settings = TrainingSettings(parse_network(NETWORK, "sparse"), 2, 2, load_config("tiny").contract, batch=2)
    train(settings, path)
    return path


@pytest.fixture(scope="package")
def trace(trace_path: Path) -> Trace:
    return open_trace(trace_path)


@pytest.fixture(scope="package")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="package")
def content(trace_path: Path, out: Path) -> dict[str, Any]:
    return run_sparsity(SparsityStudy(trace_path, seed=SEED, config="tiny", workers=1), out)
