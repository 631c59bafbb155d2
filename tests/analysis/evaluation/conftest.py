"""A tiny network on the digits, and an evaluation of it that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.steps import TINY
from tlm.analysis.evaluation.evaluation import run_evaluation
from tlm.analysis.evaluation.options import EvaluationOptions

NETWORK = """
name: tiny
input: {shape: [8, 8, 1], exponent: 4}
timesteps: 2
layers: [{conv: {channels: 3, kernel: [3, 3], stride: 2}}, {linear: 10}]
"""
FAST = ("arithmetic.micro_batch=4", *TINY[1:])


@pytest.fixture(scope="session")
def options(tmp_path_factory: pytest.TempPathFactory) -> EvaluationOptions:
    """Two stages of a short training, in this process; traces are kept for the whole session of tests."""
    folder = tmp_path_factory.mktemp("evaluation")
    path = folder / "tiny.yaml"
    path.write_text(NETWORK)
    return EvaluationOptions(
        networks=str(path),
        stages="0,100",
        steps=3,
        batch=24,
        images=12,
        training_batch=16,
        overrides=FAST,
        traces=folder / "traces",
        workers=1,
    )


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the evaluation `content`."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="session")
def content(options: EvaluationOptions, out: Path) -> dict[str, Any]:
    """The evaluation of `options`."""
    return run_evaluation(options, out, "h2learn evaluate")
