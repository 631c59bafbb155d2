"""A tiny training step as a trace file, and studies of it that take a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.steps import BUFFERS, TINY, make_record, small_buffers
from tlm.analysis.bandwidth.study import BandwidthStudy
from workloads.trace_file import write_trace

STEP = ("direct", "conv", 9)
SHORT = ("spikes", "linear", 9)
NOTHING_FITS = (*TINY, *small_buffers(STEP, *BUFFERS))
SHORT_OF_ROOM = (*TINY, *small_buffers(SHORT, *BUFFERS))
"""Buffers in which no tensor of the short step fits, but all do in four times as much."""
TWO_DRAMS = "2GB/s,16GB/s"


@pytest.fixture(scope="session")
def trace_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a step with nine timesteps and five images."""
    path = tmp_path_factory.mktemp("traces") / "step.h5"
    write_trace(make_record(*SHORT), path)
    return path


@pytest.fixture
def study(trace_path: Path) -> BandwidthStudy:
    """Two bandwidths and two buffer sizes, in this process."""
    return BandwidthStudy(
        str(trace_path), dram=TWO_DRAMS, buffers="1,4", potentials="store", overrides=SHORT_OF_ROOM, workers=1
    )
