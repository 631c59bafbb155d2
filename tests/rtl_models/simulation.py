"""Which simulators the tests run on, and payloads from plain lists."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import ArrayLike

from rtl_models.simulators import MyhdlSimulator, VerilatorSimulator, available_simulators
from rtl_models.units import Words

HAS_VERILATOR = "verilator" in available_simulators()
IN_CI = os.environ.get("CI") == "true"
# a missing Verilator is a visible skip at home and a failure in continuous integration
needs_verilator = pytest.mark.skipif(not HAS_VERILATOR and not IN_CI, reason="verilator is not installed")
simulators = pytest.mark.parametrize(
    "simulator",
    [
        pytest.param(MyhdlSimulator(watchdog_cycles=200), id="myhdl"),
        pytest.param(VerilatorSimulator(), id="verilator", marks=needs_verilator),
    ],
)


def words(values: ArrayLike) -> Words:
    """Return values of up to 64 bits as a payload."""
    return np.asarray(values, np.uint64).reshape(-1, 1)
