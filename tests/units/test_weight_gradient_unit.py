"""The first layer's weight gradient unit: one set of requirements, three views (reference, MyHDL, Verilated)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import BINARY32, Bits, encode
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask, one_group
from rtl_models.reference.weight_gradient_elements import weight_gradient_elements
from rtl_models.simulators import MyhdlSimulator, VerilatorSimulator
from rtl_models.units import Unit
from rtl_models.weight_gradient_unit import weight_gradient_unit
from tests.rtl_models.simulation import needs_verilator
from tests.units.pipeline_contract import HALF, NARROW, Case, PipelineContract, ReferenceView, SimulatedView, hostile
from tests.units.pipeline_oracle import add, multiply, numbers, pattern, single


class WeightGradientContract(PipelineContract):
    def make(self, geometry: PipelineGeometry) -> Unit:
        return weight_gradient_unit(geometry)

    def reference(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
        return weight_gradient_elements(task, geometry)

    def random_task(self, rng: np.random.Generator, g: PipelineGeometry, counts: NDArray[np.int64]) -> PipelineTask:
        scales = np.exp2(rng.integers(-14, 1, len(counts))).astype(np.float32).view(np.uint32)
        count = int(counts.sum())
        elements: dict[str, Payload] = {name: hostile(rng, g.sum_format, count) for name in ("h", "dw")}
        return PipelineTask({"scale": scales}, elements, counts)

    def oracle(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Bits]:
        total = geometry.sum_format
        scale = single(task.constants["scale"][np.repeat(np.arange(len(task.counts)), task.counts)])
        h, dw = (numbers(task.elements[name], total) for name in ("h", "dw"))
        return {"dw": pattern(add(dw, multiply(h, scale, total), total), total)}

    def add_up(self, h: float, dw: float, scale: float) -> float:
        elements: dict[str, Payload] = {"h": encode(np.array([h]), BINARY32), "dw": encode(np.array([dw]), BINARY32)}
        (seen,) = self.check(HALF, [Case(one_group({"scale": np.float32(scale)}, elements))])
        return float(numbers(seen["dw"], BINARY32)[0])

    def test_the_scaled_sum_is_rounded_before_it_is_added(self) -> None:
        """3 2^-149 / 2 is 2^-148 on the subnormal grid, and 2^-148 - 2^-148 is 0; unrounded it would be -2^-149."""
        assert self.add_up(3 * 2.0**-149, -(2.0**-148), 0.5) == 0.0

    def test_minus_zero_and_minus_zero(self) -> None:
        assert np.signbit(self.add_up(-0.0, -0.0, 0.5))
        assert not np.signbit(self.add_up(-0.0, 0.0, 0.5))

    def test_infinities_cancel_to_nan(self) -> None:
        assert np.isnan(self.add_up(np.inf, -np.inf, 0.5))


class TestReference(WeightGradientContract, ReferenceView):
    pass


class TestMyhdl(WeightGradientContract, SimulatedView):
    simulator = MyhdlSimulator()
    shapes = (HALF, NARROW)
    tasks_per_shape = 1
    elements = 60


@needs_verilator
class TestVerilated(WeightGradientContract, SimulatedView):
    simulator = VerilatorSimulator()
    shapes = (NARROW, HALF)
    elements = 4_000
