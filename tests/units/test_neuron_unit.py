"""The neuron unit: one set of requirements, three views (reference, MyHDL, Verilated), cycles held to the law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import BINARY16, BINARY32, Bits, encode
from rtl_models.neuron_unit import neuron_unit
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask, one_group
from rtl_models.reference.neuron_elements import neuron_elements
from rtl_models.simulators import MyhdlSimulator, VerilatorSimulator
from rtl_models.units import Unit
from tests.rtl_models.simulation import needs_verilator
from tests.units.pipeline_contract import (
    ANY_BRAIN,
    ANY_HALF,
    ANY_NARROW,
    BRAIN,
    HALF,
    Case,
    PipelineContract,
    ReferenceView,
    SimulatedView,
    flags,
    hostile,
)
from tests.units.pipeline_oracle import add, multiply, numbers, pattern, rounded, single

CONSTANTS = {"alpha": 0.25, "threshold": 0.25, "low": -0.25, "high": 0.75, "scale": 1.0}


class NeuronContract(PipelineContract):
    def make(self, geometry: PipelineGeometry) -> Unit:
        return neuron_unit(geometry)

    def reference(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
        return neuron_elements(task, geometry)

    def random_task(self, rng: np.random.Generator, g: PipelineGeometry, counts: NDArray[np.int64]) -> PipelineTask:
        count = int(counts.sum())
        constants: dict[str, Payload] = {name: hostile(rng, BINARY32, len(counts)) for name in CONSTANTS}
        if g.any_reset:
            constants |= {"drop": hostile(rng, BINARY32, len(counts)), "subtract": flags(rng, len(counts))}
        constants["scale"] = np.exp2(rng.integers(-9, 1, len(counts))).astype(np.float32).view(np.uint32)
        usual = rng.random(len(counts)) < 0.7
        for name in ("alpha", "threshold", "low", "high"):
            constants[name][usual] = np.float32(CONSTANTS[name]).view(np.uint32)
        elements: dict[str, Payload] = {
            "x": hostile(rng, g.sum_format, count),
            "u_before": hostile(rng, g.value_format, count),
            "s_before": flags(rng, count),
            "first": flags(rng, count) & flags(rng, count),
        }
        # ties with threshold, low or high: exact, or made by the rounding of u
        tie = rng.random(count) < 0.1
        bound = rng.choice([CONSTANTS[name] for name in ("threshold", "low", "high")], count)
        scale = single(constants["scale"])[np.repeat(np.arange(len(counts)), counts)]
        x = encode(bound * (1 + rng.integers(-1, 2, count) * 2.0**-20) / scale, g.sum_format)
        elements["x"] = np.where(tie, x, elements["x"])
        elements["first"][tie] = 1
        return PipelineTask(constants, elements, counts)

    def oracle(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Bits]:
        value, total = geometry.value_format, geometry.sum_format
        group = np.repeat(np.arange(len(task.counts)), task.counts)
        alpha, threshold, low, high, scale = (single(task.constants[name][group]) for name in CONSTANTS)
        x = multiply(numbers(task.elements["x"], total), scale, total)
        leak = multiply(alpha, numbers(task.elements["u_before"], value), total)
        after_spike = np.zeros_like(leak)
        if geometry.any_reset:
            lowered = add(leak, -rounded(single(task.constants["drop"][group]), total), total)
            after_spike = np.where(task.constants["subtract"][group] == 1, lowered, 0.0)
        p = np.where(task.elements["s_before"] == 1, after_spike, leak)
        p = np.where(task.elements["first"] == 1, 0.0, p)
        u = rounded(add(p, x, total), value)
        spikes, masks = u > threshold, (low < u) & (u < high)
        return {"u": pattern(u, value), "s": spikes.astype(np.uint16), "f": masks.astype(np.uint16)}

    def fire(self, x: list[float], geometry: PipelineGeometry = HALF, **fields: list[float]) -> dict[str, list[int]]:
        """Return what the view makes of one `neurons_case`."""
        (seen,) = self.check(geometry, [self.neurons_case(x, geometry, **fields)])
        return {name: [int(b) for b in bits] for name, bits in seen.items()}

    def neurons_case(self, x: list[float], geometry: PipelineGeometry, **fields: list[float]) -> Case:
        """Return sums x with the usual constants, and other fields given as numbers."""
        count = len(x)
        given = {name: np.array(fields.get(name, [0] * count)) for name in ("u_before", "s_before", "first")}
        constants = {name: np.float32(fields.get(name, [number])[0]) for name, number in CONSTANTS.items()}
        elements: dict[str, Payload] = {
            "x": encode(np.array(x, np.float64), geometry.sum_format),
            "u_before": encode(given["u_before"].astype(np.float64), geometry.value_format),
            "s_before": given["s_before"].astype(np.uint8),
            "first": given["first"].astype(np.uint8),
        }
        reset = {}
        if geometry.any_reset:
            constants["drop"] = np.float32(fields.get("drop", [0])[0])
            reset = {"subtract": bool(fields.get("subtract", [1])[0])}
        return Case(one_group(constants, elements, reset))

    def test_ties_do_not_fire_and_masks_are_open_intervals(self) -> None:
        above = float(np.nextafter(np.float16(0.25), np.float16(1)))
        inside = float(np.nextafter(np.float16(0.75), np.float16(0)))
        seen = self.fire([0.25, above, -0.25, 0.75, inside, np.nan, np.inf, -np.inf])
        assert seen["s"] == [0, 1, 0, 1, 1, 0, 1, 0]
        assert seen["f"] == [1, 1, 0, 0, 1, 0, 0, 0]

    def test_a_tie_made_by_rounding_does_not_fire(self) -> None:
        """u is compared as it is stored: a sum just above the threshold that rounds to it is a tie."""
        assert self.fire([0.25 + 2.0**-20])["s"] == [0]

    def test_zeros_of_both_signs_are_equal(self) -> None:
        seen = self.fire([-0.0, 0.0], threshold=[0.0], low=[-0.0], u_before=[-0.0, -0.0])
        assert seen == {"u": [0x8000, 0], "s": [0, 0], "f": [0, 0]}

    def test_a_reset_is_a_gate(self) -> None:
        seen = self.fire([0.125] * 4, u_before=[np.inf, np.nan, np.inf, 0.5], s_before=[1, 1, 0, 0], first=[0, 0, 1, 0])
        assert seen["u"] == [0x3000, 0x3000, 0x3000, 0x3400]

    def test_a_subtraction_follows_a_spike_alone(self) -> None:
        fields = {"u_before": [1.0, 1.0, 1.0, np.inf], "s_before": [1, 0, 1, 1], "first": [0, 0, 1, 0], "drop": [0.125]}
        cases = [self.neurons_case([0.5] * 4, ANY_BRAIN, subtract=[on], **fields) for on in (1, 0)]
        subtracted, to_zero = (seen["u"].tolist() for seen in self.check(ANY_BRAIN, cases))
        assert subtracted == [0x3F20, 0x3F40, 0x3F00, 0x7F80]  # 0.5 + 0.25 - 0.125, 0.5 + 0.25, 0.5, infinity
        assert to_zero == [0x3F00, 0x3F40, 0x3F00, 0x3F00]

    def test_a_drop_is_rounded_to_the_sum_format(self) -> None:
        """1 - (1 + 2^-11 + 2^-20): the drop is a tie and a bit more between 1 and 1 + 2^-10."""
        near_one = 1 + 2.0**-11 + 2.0**-20
        seen = self.fire([0.0], ANY_NARROW, u_before=[1.0], s_before=[1], alpha=[1.0], drop=[near_one])
        assert seen["u"] == [0x9400]  # -2^-10

    def test_minus_zero_plus_the_gates_zero_is_plus_zero(self) -> None:
        assert self.fire([-0.0], first=[1])["u"] == [0]

    def test_overflow_subnormal_and_nan_are_stored_by_the_rules(self) -> None:
        seen = self.fire([65519.0, 65520.0, 2.0**-24, 2.0**-25, 3 * 2.0**-25, -np.nan])
        assert seen["u"] == [0x7BFF, 0x7C00, 1, 0, 2, BINARY16.canonical_nan]

    def test_scaling_comes_before_the_sum(self) -> None:
        seen = self.fire([192.0], scale=[2.0**-8], u_before=[1.0])
        assert seen["u"] == [0x3C00]  # 0.75 + 0.25


class TestReference(NeuronContract, ReferenceView):
    pass


class TestMyhdl(NeuronContract, SimulatedView):
    simulator = MyhdlSimulator()
    shapes = (BRAIN, ANY_HALF)
    tasks_per_shape = 1
    elements = 60


@needs_verilator
class TestVerilated(NeuronContract, SimulatedView):
    simulator = VerilatorSimulator()
    shapes = (HALF, ANY_BRAIN, ANY_NARROW)
    elements = 4_000
