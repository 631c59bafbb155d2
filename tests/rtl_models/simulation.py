"""Which simulators the tests run on, and stimuli from plain lists."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from rtl_models.simulators import MyhdlSimulator, Simulator, VerilatorSimulator, available_simulators
from rtl_models.units import Stimulus, Unit, Words

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


def apply(simulator: Simulator, unit: Unit, **operands: ArrayLike) -> NDArray[np.uint64]:
    """Run a unit with the streams in and out, one beat out per beat in; return the one field of out."""
    beats = {name: words(values) for name, values in operands.items()}
    count = len(next(iter(beats.values())))
    (response,) = simulator.run(unit, [Stimulus({"in": beats}, {"out": count})])
    (payload,) = response.payloads["out"].values()
    return payload[:, 0]
