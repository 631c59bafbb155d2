"""The generated Verilog of every unit under a third simulator, one that knows unknown bits: same bits, same cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_models.fifo import fifo_unit
from rtl_models.lut_row import lut_row_unit
from rtl_models.pipeline_task import pipeline_stimulus
from rtl_models.reference.row import row_stimulus
from rtl_models.reference.transposition import transposition_stimulus
from rtl_models.simulators import simulator_by_name
from rtl_models.transposition_unit import transposition_unit
from rtl_models.units import Stimulus, Unit, Words
from tests.units import test_lut_row, test_transposition_unit
from tests.units.icarus import PASSED, needs_icarus, replay, verilog_of
from tests.units.pipeline_contract import ANY_BRAIN, BRAIN, HALF, PipelineContract, stalled
from tests.units.test_gradient_unit import GradientContract
from tests.units.test_neuron_unit import NeuronContract
from tests.units.test_optimiser_unit import OptimiserContract
from tests.units.test_weight_gradient_unit import WeightGradientContract

pytestmark = needs_icarus

CONTRACTS: dict[str, PipelineContract] = {
    "neuron": NeuronContract(),
    "gradient": GradientContract(),
    "weight_gradient": WeightGradientContract(),
    "optimiser": OptimiserContract(),
}


def elements_case(name: str) -> tuple[Unit, Stimulus]:
    rng, contract = np.random.default_rng(3), CONTRACTS[name]
    geometry = {"weight_gradient": HALF, "gradient": ANY_BRAIN}.get(name, BRAIN)
    case = stalled(rng, contract.random_task(rng, geometry, np.array([150, 1, 60])))
    unit = contract.make(geometry)
    return unit, pipeline_stimulus(unit, case.task, case.valid, case.ready)


def fifo_case() -> tuple[Unit, Stimulus]:
    rng = np.random.default_rng(4)
    data: Words = rng.integers(0, 1 << 64, (80, 1), dtype=np.uint64)
    flags = {n: (rng.random(150) < 0.4).astype(np.uint8) for n in ("put", "get")}
    return fifo_unit(5, 64), Stimulus(
        {"put": {"data": data}}, {"get": 80}, {"put": flags["put"]}, {"get": flags["get"]}
    )


def row_case() -> tuple[Unit, Stimulus]:
    rng, geometry = np.random.default_rng(5), test_lut_row.PIPELINED
    case = test_lut_row.stalls(rng, test_lut_row.Case(test_lut_row.random_task(rng, geometry, 6)))
    return lut_row_unit(geometry), row_stimulus(geometry, case.task, case.valid, case.ready)


def transposition_case() -> tuple[Unit, Stimulus]:
    rng, geometry = np.random.default_rng(6), test_transposition_unit.ODD
    case = test_transposition_unit.stalled(rng, test_transposition_unit.random_task(rng, geometry, 150))
    patterns = {"spikes": case.spikes}, {"indices": case.indices}
    return transposition_unit(geometry), transposition_stimulus(geometry, case.task, *patterns)


OTHERS = {"fifo": fifo_case, "lut_row": row_case, "transposition": transposition_case}
UNITS = [*CONTRACTS, *OTHERS]


def case_of(name: str) -> tuple[Unit, Stimulus]:
    return OTHERS[name]() if name in OTHERS else elements_case(name)


@pytest.mark.parametrize("name", UNITS)
def test_icarus_agrees_with_the_other_simulators(name: str, tmp_path: Path) -> None:
    unit, stimulus = case_of(name)
    (response,) = simulator_by_name("auto").run(unit, [stimulus])
    assert replay(unit, stimulus, response, tmp_path) == PASSED


def test_a_wrong_bit_a_wrong_cycle_and_an_unknown_bit_are_seen(tmp_path: Path) -> None:
    unit, stimulus = fifo_case()
    (response,) = simulator_by_name("auto").run(unit, [stimulus])
    good = verilog_of(unit)
    mutants = {
        "bit": ("assign get_data = memory[read]", "assign get_data = memory[read] ^ 64"),
        "cycle": ("(level < 5)", "(level < 4)"),
        "unknown": ("assign get_data = memory[read]", "assign get_data = memory[read + 1]"),
    }
    for name, (before, after) in mutants.items():
        assert before in good
        (tmp_path / name).mkdir()
        said = replay(unit, stimulus, response, tmp_path / name, good.replace(before, after))
        assert said.startswith("cycle "), said
        assert ("x" in said) == (name == "unknown")
