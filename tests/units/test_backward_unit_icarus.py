"""The backward unit's generated Verilog under Icarus: cycles and bits of the other simulators, nothing unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_models.backward_unit import BackwardUnitGeometry, backward_unit
from rtl_models.reference.backward_items import backward_stimulus
from rtl_models.simulators import MyhdlSimulator
from tests.units.icarus import PASSED, needs_icarus, replay, verilog_of
from tests.units.test_backward_unit import NARROW, SMALL, Case, random_task, stalls

pytestmark = needs_icarus


@pytest.mark.parametrize(
    "geometry", [SMALL, NARROW, replace(SMALL, adder_latency_cycles=1)], ids=["small", "narrow", "fast"]
)
def test_icarus_agrees_with_the_other_simulators(geometry: BackwardUnitGeometry, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    case = stalls(rng, Case(random_task(rng, geometry, 5)))
    stimulus = backward_stimulus(geometry, case.task, case.valid, case.ready)
    unit = backward_unit(geometry)
    (response,) = MyhdlSimulator().run(unit, [stimulus])
    verilog = verilog_of(unit)
    assert replay(unit, stimulus, response, tmp_path, verilog) == PASSED
    broken = verilog.replace("_first <= (!started[gradient_slot]);", "_first <= 0;")  # sums begin with what is there
    assert broken != verilog
    assert "saw" in replay(unit, stimulus, response, tmp_path, broken)
