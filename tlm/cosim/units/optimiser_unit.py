"""The optimiser unit: momentum, master weights and weights after the step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtl_models.formats import BINARY32, encode
from rtl_models.optimiser_unit import optimiser_unit
from rtl_models.pipeline_task import one_group
from rtl_models.reference.optimiser_elements import optimiser_elements
from tlm.config import Config
from tlm.cosim.engine import Expectation
from tlm.cosim.keys import OPTIMISER, StreamKey
from tlm.cosim.units.element_wise import ElementEngine, ElementWise


class Optimiser(ElementEngine):
    """Elements are a layer's weights (m, r, s, c); a step that was skipped never reaches the unit."""

    name = OPTIMISER
    hardware = ElementWise("optimiser_unit", optimiser_unit, optimiser_elements)
    fields = 3

    @property
    def layers(self) -> list[int]:
        return [] if self.trace.skipped else super().layers

    @property
    def micro_batch_count(self) -> int:
        return 1

    @classmethod
    def latency_cycles(cls, config: Config) -> int:
        return config.optimiser_unit.latency_cycles

    def elements(self, layer: int, micro_batch: int) -> int:
        return self.layer(layer).weights_count

    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        chosen = self.block(key.layer, key.micro_batch, key.block)
        trace, contract = self.trace, self.config.contract
        rates = trace.optimiser
        constants = {
            "scale": np.float32(2.0**-rates.scale_log2),
            "mu": rates.momentum,
            "lr": rates.learning_rate,
            "wd": rates.weight_decay,
        }
        before = (trace.weight_gradient(key.layer), trace.momentum(key.layer), trace.master(key.layer))
        dw, v, w = (array.reshape(-1)[chosen] for array in before)
        task = one_group(
            constants, {"dw": encode(dw, contract.sum), "v": encode(v, BINARY32), "w": encode(w, BINARY32)}
        )
        results = self.hardware.reference(self.geometry, task)
        if not trace.bit_exact:
            yield Expectation(key, task, results)
            return
        after = (
            encode(trace.new_momentum(key.layer).reshape(-1)[chosen], BINARY32),
            encode(trace.new_master(key.layer).reshape(-1)[chosen], BINARY32),
            encode(trace.new_weights(key.layer).reshape(-1)[chosen], contract.value),
        )
        made = np.concatenate([results["v"], results["w"], results["w16"]])
        yield Expectation(key, task, results, made, np.concatenate(after))
