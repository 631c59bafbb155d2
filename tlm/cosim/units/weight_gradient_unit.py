"""The weight gradient unit: adds the scaled sums of a micro-batch over bytes to the first layer's weight gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtl_models.formats import decode, encode
from rtl_models.pipeline_task import one_group
from rtl_models.reference.weight_gradient_elements import weight_gradient_elements
from rtl_models.weight_gradient_unit import weight_gradient_unit
from tlm.config import Config
from tlm.cosim.engine import Expectation
from tlm.cosim.keys import WEIGHT_GRADIENT, StreamKey
from tlm.cosim.reference_sums import direct_gradient_sums
from tlm.cosim.units.element_wise import ElementEngine, ElementWise
from tlm.schedule.geometry import is_direct
from workloads.network import Network
from workloads.record import Floats


class WeightGradient(ElementEngine):
    """Elements are the weights (m, r, s, c) of a first layer that takes bytes, one stream a micro-batch and block."""

    name = WEIGHT_GRADIENT
    hardware = ElementWise("weight_gradient_unit", weight_gradient_unit, weight_gradient_elements)
    accumulates = True
    fields = 1
    _before: tuple[int, Floats] = (-1, np.zeros(0, np.float32))

    @classmethod
    def layers_of(cls, network: Network) -> list[int]:
        return [0] if is_direct(network, 0) else []

    @classmethod
    def latency_cycles(cls, config: Config) -> int:
        """That of the gradient unit, whose operators these are."""
        return config.gradient_unit.latency_cycles

    def elements(self, layer: int, micro_batch: int) -> int:
        return self.layer(layer).weights_count

    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        chosen = self.block(key.layer, key.micro_batch, key.block)
        total = self.config.contract.sum
        before = self._gradient_before(key.micro_batch)
        h = direct_gradient_sums(self.trace, self.samples(key.micro_batch)).reshape(-1)
        scale = {"scale": np.float32(2.0**-self.network.input.exponent)}
        task = one_group(scale, {"h": encode(h[chosen], total), "dw": encode(before[chosen], total)})
        results = self.hardware.reference(self.geometry, task)
        if not self.trace.bit_exact or key.micro_batch < len(self.batches) - 1:
            yield Expectation(key, task, results)
            return
        in_trace = encode(self.trace.weight_gradient(key.layer).reshape(-1)[chosen], total)
        yield Expectation(key, task, results, results["dw"], in_trace)

    def _gradient_before(self, micro_batch: int) -> Floats:
        """Weight gradients after the micro-batches before; those of the last one asked for are kept."""
        done, running = self._before
        if not 0 <= done <= micro_batch:
            done, running = 0, np.zeros(self.layer(0).weights_count, np.float32)
        total = self.config.contract.sum
        for earlier in range(done, micro_batch):
            h = direct_gradient_sums(self.trace, self.samples(earlier)).reshape(-1)
            scale = {"scale": np.float32(2.0**-self.network.input.exponent)}
            task = one_group(scale, {"h": encode(h, total), "dw": encode(running, total)})
            patterns = self.hardware.reference(self.geometry, task)["dw"]
            running = decode(patterns.astype(total.bits_dtype), total)
        self._before = micro_batch, running
        return running
