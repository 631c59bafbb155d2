"""A trace and a configuration that the tests of the co-simulation share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cosim.traces import ARITHMETIC, write_small_trace
from tlm.config import Config
from tlm.cosim import config_for_trace, journal

OVERRIDES = (
    "forward_engine={arrays: 1, rows: 2, accumulator_depth: 10}",
    "weight_update_engine={arrays: 2, rows: 2, accumulator_depth: 16}",
    "lut.build_latency_cycles=2",
    "lut.adder_latency_cycles=3",
    "backward_engine={units: 2, lanes: 2, channel_tile: 4, items_in_flight: 3}",
    "neuron_unit.latency_cycles=3",
    "gradient_unit.latency_cycles=2",
    "optimiser_unit.latency_cycles=1",
    "transposition_unit={width: 40, latency_cycles: 3}",
)


@pytest.fixture(scope="session")
def trace_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of one step of a small network."""
    return write_small_trace(tmp_path_factory.mktemp("cosim") / "small.trace")


@pytest.fixture(scope="session")
def config() -> Config:
    """Small accumulator memories, so that every layer is cut into blocks, the last one shorter."""
    return config_for_trace(ARITHMETIC, overrides=OVERRIDES)


@pytest.fixture(scope="session", autouse=True)
def own_journals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is taken over from an earlier run of the tests that was interrupted, or from one at the same time."""
    folder = tmp_path_factory.mktemp("journals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "cache_folder", lambda: folder)
        yield
