"""The gradient unit: one set of requirements, three views (reference, MyHDL, Verilated), cycles held to the law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, Bits, encode
from rtl_models.gradient_unit import gradient_unit
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask, one_group
from rtl_models.reference.gradient_elements import gradient_elements
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

FORMAT_OF = {"sum": "sum", "u": "value", "du_next": "value", "a": "sum"}


class GradientContract(PipelineContract):
    def make(self, geometry: PipelineGeometry) -> Unit:
        return gradient_unit(geometry)

    def reference(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
        return gradient_elements(task, geometry)

    def random_task(self, rng: np.random.Generator, g: PipelineGeometry, counts: NDArray[np.int64]) -> PipelineTask:
        count = int(counts.sum())
        constants: dict[str, Payload] = {name: hostile(rng, BINARY32, len(counts)) for name in ("alpha", "beta")}
        if g.any_reset:
            constants["drop"] = hostile(rng, BINARY32, len(counts))
            constants |= {name: flags(rng, len(counts)) for name in ("subtract", "detached")}
        formats = {"sum": g.sum_format, "value": g.value_format}
        elements: dict[str, Payload] = {name: hostile(rng, formats[f], count) for name, f in FORMAT_OF.items()}
        elements |= {name: flags(rng, count) for name in ("f", "s")}
        elements["last"] = flags(rng, count) & flags(rng, count)
        return PipelineTask(constants, elements, counts)

    def oracle(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Bits]:
        value, total = geometry.value_format, geometry.sum_format
        group = np.repeat(np.arange(len(task.counts)), task.counts)
        alpha, beta = (single(task.constants[name][group]) for name in ("alpha", "beta"))
        fields = task.elements
        following = np.where(fields["last"] == 1, 0.0, numbers(fields["du_next"], value))
        factor, sums = multiply(alpha, numbers(fields["u"], value), total), numbers(fields["sum"], total)
        subtract = detached = np.zeros(len(group))
        if geometry.any_reset:
            subtract, detached = (task.constants[name][group] for name in ("subtract", "detached"))
            factor = np.where(subtract == 1, rounded(single(task.constants["drop"][group]), total), factor)
        ds = np.where(detached == 1, sums, add(sums, -multiply(factor, following, total), total))
        g = np.where(fields["f"] == 1, multiply(beta, ds, total), 0.0)
        h = np.where((fields["s"] == 1) & (subtract == 0), 0.0, multiply(alpha, following, total))
        du = rounded(add(g, h, total), value)
        a = add(numbers(fields["a"], total), du, total)
        return {"du": pattern(du, value), "a_next": pattern(a, total), "d16": pattern(rounded(a, value), value)}

    def differentiate(self, geometry: PipelineGeometry = HALF, **fields: float) -> dict[str, int]:
        """Return what the view makes of one element, as `element_case` has it."""
        (seen,) = self.check(geometry, [self.element_case(geometry, **fields)])
        return {name: int(bits[0]) for name, bits in seen.items()}

    def element_case(self, geometry: PipelineGeometry, **fields: float) -> Case:
        """Return one element, given as numbers; alpha 0.25, beta 1, mask open, no spike."""
        constants = {name: np.float32(fields.get(name, number)) for name, number in (("alpha", 0.25), ("beta", 1.0))}
        formats = {"sum": geometry.sum_format, "value": geometry.value_format}
        elements: dict[str, Payload] = {
            name: encode(np.array([fields.get(name, 0.0)], np.float64), formats[f]) for name, f in FORMAT_OF.items()
        }
        for name, usual in (("f", 1), ("s", 0), ("last", 0)):
            elements[name] = np.array([fields.get(name, usual)], np.uint8)
        reset = {}
        if geometry.any_reset:
            constants["drop"] = np.float32(fields.get("drop", 0.0))
            reset = {name: bool(fields.get(name, 0)) for name in ("subtract", "detached")}
        return Case(one_group(constants, elements, reset))

    def test_closed_gates_stop_what_is_not_finite(self) -> None:
        """Mask closed and spiked: +0, whatever comes; only the last timestep's du_next is left out."""
        assert self.differentiate(sum=np.inf, u=np.nan, du_next=np.inf, f=0, s=1)["du"] == 0
        assert self.differentiate(sum=1.0, u=0.5, du_next=np.nan, last=1)["du"] == 0x3C00
        assert self.differentiate(sum=1.0, u=0.5, du_next=np.nan)["du"] == BINARY16.canonical_nan

    def test_the_reset_takes_its_part_off_the_sum(self) -> None:
        assert self.differentiate(sum=1.0, u=1.0, du_next=2.0, s=1)["du"] == 0x3800  # 1 - 0.25 * 1 * 2

    def test_the_leak_passes_gradients_on(self) -> None:
        assert self.differentiate(sum=1.0, u=1.0, du_next=2.0, f=0)["du"] == 0x3800  # 0.25 * 2

    def test_every_reset(self) -> None:
        spiked = {"sum": 1.0, "u": 1.0, "du_next": 2.0, "s": 1, "drop": 0.125}
        wanted = [
            (spiked, 1 - 0.25 * 1 * 2),
            (spiked | {"subtract": 1}, 1 - 0.125 * 2 + 0.25 * 2),
            (spiked | {"subtract": 1, "detached": 1}, 1 + 0.25 * 2),
            (spiked | {"u": np.inf, "detached": 1}, 1.0),
            ({"sum": -0.0, "last": 1, "alpha": -0.25, "detached": 1}, -0.0),
        ]
        seen = self.check(ANY_BRAIN, [self.element_case(ANY_BRAIN, **fields) for fields, _ in wanted])
        assert [result["du"][0] for result in seen] == encode(np.array([du for _, du in wanted]), BFLOAT16).tolist()

    def test_products_are_rounded_before_they_are_added(self) -> None:
        """(1 + 2^-23)(1 + 2^-7) is rounded to 1 + 2^-7 + 2^-23 first; a fused subtraction would leave a remainder."""
        near_one = float(np.nextafter(np.float32(1), np.float32(2)))
        seen = self.differentiate(
            BRAIN, alpha=near_one, u=1 + 2.0**-7, du_next=1.0, s=1, sum=1 + 2.0**-7 + 2.0**-23, last=0
        )
        assert seen["du"] == 0

    def test_zeros_keep_their_rules(self) -> None:
        assert self.differentiate(sum=-0.0, last=1, a=-0.0) == {"du": 0, "a_next": 0, "d16": 0}
        assert self.differentiate(sum=-0.0, last=1, u=-0.0, alpha=-0.25)["du"] == 0x8000

    def test_the_sum_over_time_is_rounded_once_and_overflows_by_itself(self) -> None:
        seen = self.differentiate(sum=1.0, last=1, a=65504.0)
        assert (seen["a_next"], seen["d16"]) == (0x477FE100, 0x7BFF)
        seen = self.differentiate(sum=16.0, last=1, a=65504.0)
        assert (seen["a_next"], seen["d16"]) == (0x477FF000, 0x7C00)


class TestReference(GradientContract, ReferenceView):
    pass


class TestMyhdl(GradientContract, SimulatedView):
    simulator = MyhdlSimulator()
    shapes = (BRAIN, ANY_HALF)
    tasks_per_shape = 1
    elements = 60


@needs_verilator
class TestVerilated(GradientContract, SimulatedView):
    simulator = VerilatorSimulator()
    shapes = (HALF, ANY_BRAIN, ANY_NARROW)
    elements = 4_000
