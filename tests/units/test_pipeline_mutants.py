"""Broken element-wise units are caught by the operands and patterns that the units' tests use.

Every mutant is one change of the generated Verilog, run in Icarus against what the reference and the law say.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import pipeline_stimulus
from rtl_models.units import Response, Stimulus, Unit
from tests.units.icarus import PASSED, needs_icarus, replay, verilog_of
from tests.units.pipeline_contract import ANY_BRAIN, BRAIN, PipelineContract, stalled
from tests.units.pipeline_oracle import pipeline_transfers
from tests.units.test_gradient_unit import GradientContract
from tests.units.test_neuron_unit import NeuronContract
from tests.units.test_optimiser_unit import OptimiserContract
from tests.units.test_weight_gradient_unit import WeightGradientContract

pytestmark = [needs_icarus, pytest.mark.slow]

UNITS: dict[str, tuple[PipelineContract, PipelineGeometry]] = {
    "neuron": (NeuronContract(), BRAIN),
    "neuron, any reset": (NeuronContract(), ANY_BRAIN),
    "gradient": (GradientContract(), BRAIN),
    "gradient, any reset": (GradientContract(), ANY_BRAIN),
    "weight_gradient": (WeightGradientContract(), BRAIN),
    "optimiser": (OptimiserContract(), BRAIN),
}
# unit, what is broken: (text after which the first place is meant, what stands there, what takes its place)
MUTANTS: dict[tuple[str, str], tuple[str, str, str]] = {
    ("neuron", "results overwritten"): ("", "(out_ready || (!pipeline_control0_valid[2]))", "1"),
    ("neuron", "constants renewed under way"): ("pipeline_control0_look", "(busy == 0)", "1"),
    ("neuron", "constants never renewed"): ("", "(pipeline_control0_accept && element_valid && element_renew)", "0"),
    ("neuron", "elements before constants"): ("", "element_ready = (pipeline_control0_loaded", "element_ready = (1"),
    ("neuron", "no reset after a spike"): ("fire0_gate", "(element_first || element_s_before)", "element_first"),
    ("neuron", "leak at first"): ("fire0_gate", "(element_first || element_s_before)", "element_s_before"),
    ("neuron", "fires at the threshold"): ("float_greater0_compare", "a_magnitude > b_m", "a_magnitude >= b_m"),
    ("neuron", "mask closed at the lower end"): ("float_greater1_compare", "a_magnitude < b_m", "a_magnitude <= b_m"),
    ("neuron", "u not rounded"): ("float_narrow0_float_round2_round_once", "up = 1;", "up = 0;"),
    ("neuron", "compared before rounding"): ("float_greater0_compare", "fire0_compared[31-1", "fire0_total[31-1"),
    ("neuron", "alpha and scale swapped"): ("float_multiplier0_multiply", "held_scale", "held_alpha"),
    ("neuron, any reset", "no subtraction"): ("fire0_gate", "if (held_subtract)", "if (0)"),
    ("neuron, any reset", "only subtraction"): ("fire0_gate", "if (held_subtract)", "if (1)"),
    ("neuron, any reset", "subtraction without a spike"): ("fire0_gate", "if (element_s_before)", "if (1)"),
    ("neuron, any reset", "leak at first"): ("fire0_gate", "if (element_first)", "if (0)"),
    ("neuron, any reset", "drop added"): ("negate", "(!fire0_rounded[31])", "fire0_rounded[31]"),
    ("gradient, any reset", "potential for the drop"): ("choose", "choose_reset0_rounded", "leak"),
    ("gradient, any reset", "never detached"): ("choose", "if (held_detached)", "if (0)"),
    ("gradient, any reset", "always detached"): ("choose", "if (held_detached)", "if (1)"),
    ("gradient, any reset", "spike ends the path"): ("choose", "ends = 0", "ends = element_s"),
    ("gradient", "mask ignored"): ("differentiate0_gate", "if (element_f)", "if (1)"),
    ("gradient", "spike ignored"): ("differentiate0_gate", "if (element_s)", "if (0)"),
    ("gradient", "du after the last timestep"): ("end_of_time", "if (element_last)", "if (0)"),
    ("gradient", "reset path added"): ("negate", "(!differentiate0_r[31])", "differentiate0_r[31]"),
    ("gradient", "alpha for beta"): ("float_multiplier2_multiply", "held_beta", "held_alpha"),
    ("gradient", "d16 without this timestep"): ("float_narrow1_take_apart", "a_next", "element_a"),
    ("gradient", "g plus g"): ("float_adder1_add", "differentiate0_h", "differentiate0_g"),
    ("weight_gradient", "scaled after the sum"): ("float_adder0_add", "scaled", "element_h"),
    ("weight_gradient", "nothing carried on"): ("float_adder0_add", "element_dw", "scaled"),
    ("optimiser", "weight decay always"): ("descend0_choose", "held_wd[31-1:0] != 0", "1"),
    ("optimiser", "weight decay never"): ("descend0_choose", "held_wd[31-1:0] != 0", "0"),
    ("optimiser", "minus zero decays"): ("descend0_choose", "held_wd[31-1:0] != 0", "held_wd != 0"),
    ("optimiser", "old momentum moves the weight"): ("float_multiplier3_multiply", "descend0_velocity", "element_v"),
    ("optimiser", "uphill"): ("negate", "(!descend0_step[31])", "descend0_step[31]"),
    ("optimiser", "Nesterov"): ("float_adder1_add", "descend0_kept", "element_v"),
    ("optimiser", "w16 of the old weight"): ("float_narrow0_take_apart", "w[", "element_w["),
}  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """A unit, its sound Verilog, a stimulus and what must come of it."""

    unit: Unit
    verilog: str
    stimulus: Stimulus
    response: Response


@pytest.fixture(scope="module")
def sound() -> dict[str, Sound]:
    return {name: sound_unit(*unit) for name, unit in UNITS.items()}


def sound_unit(contract: PipelineContract, geometry: PipelineGeometry) -> Sound:
    rng = np.random.default_rng(11)
    counts = np.concatenate([rng.integers(1, 40, 40), [3, 1, 1]])
    case = stalled(rng, contract.random_task(rng, geometry, counts))
    unit = contract.make(geometry)
    transfers = pipeline_transfers(counts, geometry.latency_cycles, case.valid, case.ready)
    bits = contract.oracle(case.task, geometry)
    response = Response(
        {"out": {name: payload.astype(np.uint64)[:, None] for name, payload in bits.items()}},
        {name: np.array(cycles, np.int64) for name, cycles in transfers.items()},
        transfers["out"][-1] + 1,
    )
    return Sound(unit, verilog_of(unit), pipeline_stimulus(unit, case.task, case.valid, case.ready), response)


@pytest.mark.parametrize("name", UNITS)
def test_sound_units_pass(name: str, sound: dict[str, Sound], tmp_path: Path) -> None:
    s = sound[name]
    assert replay(s.unit, s.stimulus, s.response, tmp_path, s.verilog) == PASSED


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m[0]}: {m[1]}")
def test_broken_units_are_caught(mutant: tuple[str, str], sound: dict[str, Sound], tmp_path: Path) -> None:
    s, (place, good, bad) = sound[mutant[0]], MUTANTS[mutant]
    before, marker, after = s.verilog.partition(f"{place}\n") if place else ("", "", s.verilog)
    body, end, rest = after.partition("\nend\n\n\n") if place else (after, "", "")
    assert good in body
    said = replay(s.unit, s.stimulus, s.response, tmp_path, before + marker + body.replace(good, bad) + end + rest)
    assert said.startswith("cycle "), said
