"""A tiny training step as a trace file, and a sweep of it that takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.steps import TINY, make_record
from tlm.analysis.simulations import Processes
from workloads.trace_file import write_trace

STEP = ("spikes", "linear", 2)
TINY_SET = dict(override.split("=", 1) for override in TINY)


def raw_spec(trace: Path, **more: Any) -> dict[str, Any]:
    """Six points of the tiny machine, of which two cannot be."""
    import yaml

    settings = {key: yaml.safe_load(value) for key, value in TINY_SET.items()}
    grid = {"backward_engine.units": [1, 3], "dram.channels": [0, 1, 2]}
    return {"set": settings, "workload": {"trace": str(trace)}, "grid": grid} | more


@pytest.fixture(scope="session")
def trace_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a step with two timesteps and five images."""
    path = tmp_path_factory.mktemp("traces") / "step.h5"
    write_trace(make_record(*STEP), path)
    return path


@pytest.fixture
def here() -> Iterator[Processes]:
    """This process alone."""
    with Processes(1) as processes:
        yield processes
