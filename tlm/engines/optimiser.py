"""Optimiser unit: SGD with momentum on master weights that live in DRAM, layer by layer as the gradients come in."""

from __future__ import annotations

from tlm.engines.context import Context
from tlm.engines.pipeline_law import PipelineTiming
from tlm.kernel.account import EngineAccount, State
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.memory.buffer import Transfer
from tlm.memory.dma import DRAM_READ, DRAM_WRITE, Descriptor, Prefetch
from tlm.schedule.staging import STATE_BYTES, optimiser_piece


class OptimiserUnit(Module):
    """`width` weights a cycle; state is read ahead in chunks and written back behind."""

    def __init__(self, name: str, parent: Parent, context: Context) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name)
        self._context = context
        self._chunk = optimiser_piece(context.config)
        self._pieces = [
            (layer, first, min(self._chunk, context.network.layers[layer].weights_count - first))
            for layer in reversed(range(len(context.network.layers)))
            for first in range(0, context.network.layers[layer].weights_count, self._chunk)
        ]
        self._state = self._prefetch()
        self.account.add(self.process(self._run, "optimiser").account)

    def _run(self, process: Process) -> Steps:
        context, unit = self._context, self._context.config.optimiser_unit
        layer_before = -1
        for number, (layer, first, count) in enumerate(self._pieces):
            yield from context.sums_for_optimiser(layer).wait_for(1, "weight gradients")
            yield from self._state.loaded.wait_for(2 * (number + 1), DRAM_READ)
            fill_cycles = PipelineTiming(unit.latency_cycles).fill_cycles if layer != layer_before else 0
            layer_before = layer
            duration_ps = context.clock.to_ps(fill_cycles - (-count // unit.width))
            traffic = self._traffic(count, duration_ps)
            yield from process.work(duration_ps)
            yield from traffic.finish(process)
            self._state.release(0, 2 * (number + 1))
            yield from self._write(layer, first, count)
            if first + count == context.network.layers[layer].weights_count:
                context.progress.of("new_weights", layer).advance(1)
        yield from context.writes.flush()
        with process.account.during(State.BLOCKED, DRAM_WRITE):
            yield from context.dram.drain()

    def _traffic(self, count: int, duration_ps: int) -> Transfer:
        """State and gradients of `count` weights in, state and rounded weights out."""
        arithmetic, ports = self._context.arithmetic, self._context.ports
        transfer = Transfer(duration_ps)
        transfer.read(ports["partial_sums"], count * (STATE_BYTES + arithmetic.sum.width_bytes))
        transfer.write(ports["partial_sums"], count * STATE_BYTES)
        return transfer.write(ports["weights"], count * arithmetic.value.width_bytes)

    def _write(self, layer: int, first: int, count: int) -> Steps:
        """Write w and v back, and the rounded weights that the next step will read."""
        context = self._context
        width = context.arithmetic.value.width_bytes
        state = context.address("optimiser_state", layer) + first * STATE_BYTES
        yield from context.writes.write(Descriptor("optimiser_state", state, count * STATE_BYTES))
        weights = context.address("weights", layer) + first * width
        yield from context.writes.write(Descriptor("weights", weights, count * width))

    def _prefetch(self) -> Prefetch:
        """Two reads a piece: its state, and its gradients (nothing where they have stayed on the chip)."""
        context = self._context
        width = context.arithmetic.sum.width_bytes
        items: list[Descriptor] = []
        for layer, first, count in self._pieces:
            address = context.address("optimiser_state", layer) + first * STATE_BYTES
            items.append(Descriptor("optimiser_state", address, count * STATE_BYTES))
            resident = context.placement.is_resident("weight_gradients", layer)
            gradients = context.address("weight_gradients", layer) + first * width
            made = context.sums_for_optimiser(layer)
            items.append(Descriptor("weight_gradients", gradients, 0 if resident else count * width, made, 1))
        return Prefetch("state", self, context.dma["optimiser"], items, context.window_bytes("optimiser"))
