"""The gradient unit: du of one timestep from the backward sums, and its running sum over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.formats import Bits, encode
from rtl_models.gradient_unit import gradient_unit
from rtl_models.pipeline_task import PipelineTask, one_group
from rtl_models.reference.gradient_elements import gradient_elements
from rtl_models.reference.rounding import add_in_place, rounding
from tlm.config import Config
from tlm.cosim.engine import Expectation
from tlm.cosim.keys import GRADIENT, StreamKey
from tlm.cosim.reference_sums import sums_from_above
from tlm.cosim.units.element_wise import ElementEngine, ElementWise
from tlm.schedule.geometry import is_direct
from workloads.network import Network
from workloads.record import Arithmetic, Flags, Floats
from workloads.trace_file import Trace

GRADIENT_UNIT = ElementWise("gradient_unit", gradient_unit, gradient_elements)


@dataclass(frozen=True)
class GradientState:
    """What the trace holds of a layer and micro-batch: u, s, f, du and, for direct coding, sums over time d16.

    `running` is the sum of du over the later timesteps; everything is [T, neurons] but d16 [neurons].
    """

    constants: dict[str, np.float32]
    flags: dict[str, bool]
    arithmetic: Arithmetic
    u: Floats
    s: Flags
    f: Flags
    du: Floats
    running: Floats | None
    d16: Floats | None

    def task(self, sums: Bits, t: int, chosen: slice | NDArray[np.int64]) -> PipelineTask:
        """Return the elements `chosen` of timestep `t` (from 0), with their backward sums as patterns."""
        value, total = self.arithmetic.value, self.arithmetic.sum
        last = t == len(self.u) - 1
        following = self.du[t if last else t + 1, chosen]  # the unit takes no notice of it at the last timestep
        a = np.zeros(len(sums), np.float32) if self.running is None else self.running[t, chosen]
        elements = {
            "sum": sums,
            "u": encode(self.u[t, chosen], value),
            "du_next": encode(following, value),
            "f": self.f[t, chosen],
            "s": self.s[t, chosen],
            "last": np.full(len(sums), last, np.uint8),
            "a": encode(a, total),
        }
        return one_group(self.constants, elements, self.flags)


def read_state(trace: Trace, layer: int, samples: slice, any_reset: bool) -> GradientState:
    """Read a layer's state of some samples, for a gradient unit of `any_reset` or without."""
    u = trace.potentials(layer, samples).reshape(trace.timesteps, -1)
    s = trace.spikes(layer, samples).reshape(trace.timesteps, -1)
    f = trace.masks(layer, samples).reshape(trace.timesteps, -1)
    du = trace.gradients(layer, samples).reshape(trace.timesteps, -1)
    running = d16 = None
    if is_direct(trace.network, layer):
        d16 = trace.gradient_sums(layer, samples).reshape(-1)
        running = np.zeros_like(du)
        for t in range(len(du) - 1, 0, -1):
            running[t - 1] = running[t]
            add_in_place(running[t - 1], np.ascontiguousarray(du[t]), rounding(trace.arithmetic.sum))
    constants, flags = {"alpha": trace.constants.alpha, "beta": trace.constants.beta}, {}
    if any_reset:
        reset = trace.constants.reset
        constants["drop"] = reset.drop
        flags = {"subtract": reset.subtract, "detached": reset.detached}
    return GradientState(constants, flags, trace.arithmetic, u, s, f, du, running, d16)


class Gradient(ElementEngine):
    """Rows are timesteps; elements are the neurons (b, y, x, m) of a micro-batch."""

    name = GRADIENT
    hardware = GRADIENT_UNIT
    fields = 3
    _kept: tuple[tuple[int, int], tuple[GradientState, Floats]] | None = None

    @classmethod
    def layers_of(cls, network: Network) -> list[int]:
        return list(network.hidden)

    @classmethod
    def latency_cycles(cls, config: Config) -> int:
        return config.gradient_unit.latency_cycles

    @classmethod
    def any_reset(cls, config: Config) -> bool:
        return config.neuron_unit.any_reset

    def rows(self, layer: int, micro_batch: int) -> int:
        return self.trace.timesteps

    def elements(self, layer: int, micro_batch: int) -> int:
        shape = self.layer(layer)
        return self.batches[micro_batch].count * shape.out_positions * shape.out_channels

    def expect(self, key: StreamKey) -> Iterator[Expectation]:
        state, sums = self._state(key.layer, key.micro_batch)
        t, chosen = key.row, self.block(key.layer, key.micro_batch, key.block)
        contract = self.config.contract
        task = state.task(encode(sums[t % len(sums), chosen], contract.sum), t, chosen)
        results = self.hardware.reference(self.geometry, task)
        if not self.trace.bit_exact:
            yield Expectation(key, task, results)
            return
        made, in_trace = [results["du"]], [encode(state.du[t, chosen], contract.value)]
        if t == 0 and state.d16 is not None:
            made.append(results["d16"])
            in_trace.append(encode(state.d16[chosen], contract.value))
        yield Expectation(key, task, results, np.concatenate(made), np.concatenate(in_trace))

    def _state(self, layer: int, micro_batch: int) -> tuple[GradientState, Floats]:
        """The state and the backward sums [T, neurons] ([1, ...] below the last layer); the last are kept."""
        if self._kept is None or self._kept[0] != (layer, micro_batch):
            samples = self.samples(micro_batch)
            sums = sums_from_above(self.trace, layer, samples)
            state = read_state(self.trace, layer, samples, self.any_reset(self.config))
            self._kept = (layer, micro_batch), (state, sums.reshape(-1, state.u.shape[1]))
        return self._kept[1]
