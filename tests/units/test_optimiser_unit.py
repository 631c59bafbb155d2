"""The optimiser unit: one set of requirements, three views (reference, MyHDL, Verilated), cycles held to the law."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_models.errors import InputError
from rtl_models.formats import BINARY16, BINARY32, Bits, encode
from rtl_models.optimiser_unit import optimiser_unit
from rtl_models.pipeline import PipelineGeometry
from rtl_models.pipeline_task import Payload, PipelineTask, one_group
from rtl_models.reference.optimiser_elements import optimiser_elements
from rtl_models.simulators import MyhdlSimulator, VerilatorSimulator
from rtl_models.units import Unit
from tests.rtl_models.simulation import needs_verilator
from tests.units.pipeline_contract import BRAIN, HALF, Case, PipelineContract, ReferenceView, SimulatedView, hostile
from tests.units.pipeline_oracle import add, multiply, numbers, pattern, rounded, single

USUAL = {"scale": 2.0**-12, "mu": 0.9, "lr": 0.1, "wd": 0.0}


class OptimiserContract(PipelineContract):
    def make(self, geometry: PipelineGeometry) -> Unit:
        return optimiser_unit(geometry)

    def reference(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Payload]:
        return optimiser_elements(task, geometry)

    def random_task(self, rng: np.random.Generator, g: PipelineGeometry, counts: NDArray[np.int64]) -> PipelineTask:
        count, groups = int(counts.sum()), len(counts)
        constants: dict[str, Payload] = {name: hostile(rng, BINARY32, groups) for name in ("mu", "lr", "wd")}
        constants["scale"] = np.exp2(rng.integers(-24, 25, groups)).astype(np.float32).view(np.uint32)
        zeros = np.where(rng.random(groups) < 0.5, 0, 0x80000000)
        constants["wd"] = np.where(rng.random(groups) < 0.4, zeros, constants["wd"]).astype(np.uint32)
        elements: dict[str, Payload] = {
            "dw": hostile(rng, g.sum_format, count),
            "v": hostile(rng, BINARY32, count),
            "w": hostile(rng, BINARY32, count),
        }
        elements["w"][rng.random(count) < 0.03] = np.float32(np.inf).view(np.uint32)  # times no weight decay is no NaN
        return PipelineTask(constants, elements, counts)

    def oracle(self, task: PipelineTask, geometry: PipelineGeometry) -> dict[str, Bits]:
        total = BINARY32
        group = np.repeat(np.arange(len(task.counts)), task.counts)
        scale, mu, lr, wd = (single(task.constants[name][group]) for name in USUAL)
        w, v = single(task.elements["w"]), single(task.elements["v"])
        g = multiply(numbers(task.elements["dw"], geometry.sum_format), scale, total)
        g = np.where(wd == 0, g, add(g, multiply(wd, w, total), total))
        v = add(multiply(mu, v, total), g, total)
        w = add(w, -multiply(lr, v, total), total)
        w16 = rounded(w, geometry.value_format)
        return {"v": pattern(v, total), "w": pattern(w, total), "w16": pattern(w16, geometry.value_format)}

    def step(self, dw: float, v: float, w: float, **constants: float) -> tuple[float, float, float]:
        """Return (v, w, w16) as the view makes them, with the usual constants but for those given."""
        given = {name: np.float32(constants.get(name, number)) for name, number in USUAL.items()}
        elements: dict[str, Payload] = {n: encode(np.array([x]), BINARY32) for n, x in (("dw", dw), ("v", v), ("w", w))}
        (seen,) = self.check(HALF, [Case(one_group(given, elements))])
        formats = {"v": BINARY32, "w": BINARY32, "w16": BINARY16}
        v, w, w16 = (float(numbers(seen[name], fmt)[0]) for name, fmt in formats.items())
        return v, w, w16

    def test_a_step_by_hand(self) -> None:
        assert self.step(4096.0, 2.0, 1.0, mu=0.5, lr=0.25) == (2.0, 0.5, 0.5)

    def test_weight_decay_comes_first(self) -> None:
        assert self.step(4096.0, 2.0, 1.0, mu=0.5, lr=0.25, wd=0.5) == (2.5, 0.375, 0.375)

    def test_without_weight_decay_nothing_is_added(self) -> None:
        """-0 + 0 w would be +0, and an infinite weight would make NaN; both zeros mean that there is none."""
        assert np.signbit(self.step(-0.0, -0.0, 1.0)[0])
        assert self.step(-0.0, 0.0, np.inf, wd=-0.0)[1] == np.inf

    def test_master_weights_keep_what_the_rounded_weight_loses(self) -> None:
        _, w, w16 = self.step(-1.0, 0.0, 1.0, scale=2.0**-13, lr=1.0)
        assert (w, w16) == (1 + 2.0**-13, 1.0)

    def test_momentum_is_rounded_before_the_gradient_is_added(self) -> None:
        """(1 + 2^-23)^2 is rounded to 1 + 2^-22 first: what is left of it is 0, where a fused sum would leave 2^-46."""
        near_one = 1 + 2.0**-23
        v, _, _ = self.step(-(1 + 2.0**-22), near_one, 1.0, scale=1.0, mu=near_one)
        assert v == 0.0


class TestReference(OptimiserContract, ReferenceView):
    def test_a_scale_that_is_no_power_of_two(self) -> None:
        task = self.random_task(np.random.default_rng(0), HALF, np.array([1]))
        task.constants["scale"][0] = np.float32(0.75).view(np.uint32)
        with pytest.raises(InputError, match=r"^optimiser task, group 0: scale, got 0.75, allowed: a power of two$"):
            self.reference(task, HALF)


class TestMyhdl(OptimiserContract, SimulatedView):
    simulator = MyhdlSimulator()
    shapes = (HALF, BRAIN)
    tasks_per_shape = 1
    elements = 60


@needs_verilator
class TestVerilated(OptimiserContract, SimulatedView):
    simulator = VerilatorSimulator()
    shapes = (HALF, BRAIN)
    elements = 4_000
