"""The neuron unit: potentials, spikes and firing masks of one timestep from the forward sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtl_models.formats import encode
from rtl_models.neuron_unit import neuron_unit
from rtl_models.pipeline_task import one_group
from rtl_models.reference.neuron_elements import neuron_elements
from tlm.config import Config
from tlm.cosim.engine import Expectation
from tlm.cosim.keys import NEURON, StreamKey
from tlm.cosim.reference_sums import forward_sums
from tlm.cosim.units.element_wise import ElementEngine, ElementWise
from tlm.schedule.geometry import is_direct
from workloads.network import Network
from workloads.record import Flags, Floats

_State = tuple[Floats, Floats, Flags, Flags]


class Neuron(ElementEngine):
    """Rows are timesteps; elements are the neurons (b, y, x, m) of a micro-batch."""

    name = NEURON
    hardware = ElementWise("neuron_unit", neuron_unit, neuron_elements)
    fields = 3
    _kept: tuple[tuple[int, int], _State] | None = None

    @classmethod
    def layers_of(cls, network: Network) -> list[int]:
        return list(network.hidden)

    @classmethod
    def latency_cycles(cls, config: Config) -> int:
        return config.neuron_unit.latency_cycles

    @classmethod
    def any_reset(cls, config: Config) -> bool:
        return config.neuron_unit.any_reset

    def rows(self, layer: int, micro_batch: int) -> int:
        return self.trace.timesteps

    def elements(self, layer: int, micro_batch: int) -> int:
        shape = self.layer(layer)
        return self.batches[micro_batch].count * shape.out_positions * shape.out_channels

    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        sums, u, s, f = self._state(key.layer, key.micro_batch)
        t, chosen = key.row, self.block(key.layer, key.micro_batch, key.block)
        value, count = self.config.contract.value, chosen.stop - chosen.start
        before = max(t - 1, 0)
        task = one_group(
            self._constants(key.layer),
            {
                "x": encode(sums[t % len(sums), chosen], self.config.contract.sum),
                "u_before": encode(u[before, chosen], value),
                "s_before": s[before, chosen],
                "first": np.full(count, t == 0, np.uint8),
            },
            {"subtract": self.trace.constants.reset.subtract} if self.geometry.any_reset else {},
        )
        results = self.hardware.reference(self.geometry, task)
        if not self.trace.bit_exact:
            yield Expectation(key, task, results)
            return
        in_trace = np.concatenate([encode(u[t, chosen], value), s[t, chosen], f[t, chosen]])
        made = np.concatenate([results["u"], results["s"], results["f"]])
        yield Expectation(key, task, results, made, in_trace)

    def _constants(self, layer: int) -> dict[str, np.float32]:
        constants = self.trace.constants
        exponent = self.network.input.exponent if is_direct(self.network, layer) else 0
        drop = {"drop": constants.reset.drop} if self.geometry.any_reset else {}
        return drop | {
            "alpha": constants.alpha,
            "threshold": constants.threshold,
            "low": constants.low,
            "high": constants.high,
            "scale": np.float32(2.0**-exponent),
        }

    def _state(self, layer: int, micro_batch: int) -> _State:
        """Sums [T, neurons] ([1, ...] for direct coding) and the trace's u, s, f [T, neurons]; the last are kept."""
        if self._kept is None or self._kept[0] != (layer, micro_batch):
            samples, timesteps = self.samples(micro_batch), self.trace.timesteps
            sums = forward_sums(self.trace, layer, samples)
            u = self.trace.potentials(layer, samples).reshape(timesteps, -1)
            s = self.trace.spikes(layer, samples).reshape(timesteps, -1)
            f = self.trace.masks(layer, samples).reshape(timesteps, -1)
            self._kept = (layer, micro_batch), (sums.reshape(len(sums), -1), u, s, f)
        return self._kept[1]
