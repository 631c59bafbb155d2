"""Gradient unit: turns backward sums, potentials and masks into gradients, timestep by timestep, last one first."""

from __future__ import annotations

from tlm.engines.backward import BackwardEngine, SumBlock
from tlm.engines.context import Context
from tlm.engines.gradient_state import GradientState
from tlm.engines.pipeline_law import PipelineTiming
from tlm.engines.streams import Stream
from tlm.kernel.account import EngineAccount, State
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.memory.buffer import Transfer
from tlm.schedule.geometry import is_direct
from tlm.schedule.placement import activation_bits

BACKWARD_SUMS = "backward sums"


class GradientUnit(Module):
    """Takes the backward engine's sums in order, `width` elements a cycle, and announces gradients plane by plane.

    For a layer that takes bytes it also adds the gradients up over time (d16) on the way.
    """

    def __init__(self, name: str, parent: Parent, context: Context, engine: BackwardEngine) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name)
        self._context = context
        self._engine = engine
        self._fill_cycles = 0
        self._state = GradientState("state", self, context, engine.streams)
        self.account.add(self.process(self._run, "gradients").account)

    def _run(self, process: Process) -> Steps:
        context = self._context
        for stream in self._engine.streams:
            self._fill_cycles = PipelineTiming(context.config.gradient_unit.latency_cycles).fill_cycles
            yield from context.recomputed_state(stream)
            union = self._engine.is_union(stream)
            if union:
                yield from self._collect(process, stream)
            for step in range(context.network.timesteps):
                if union:
                    yield from self._step_of_union(process, stream, step)
                else:
                    yield from self._step(process, stream, step)
                yield from self._deliver(stream, step)
            if is_direct(context.network, stream.layer):
                sums = context.progress.of("gradient_sums", stream.layer, stream.micro_batch.index)
                sums.advance(stream.micro_batch.count)
            if stream.layer in context.placement.recomputed:
                yield from context.recomputed_room.get()
            context.order.leave(stream)

    def _step(self, process: Process, stream: Stream, step: int) -> Steps:
        """Work through one timestep, block by block as the sums arrive."""
        left = self._elements_per_step(stream)
        while left:
            block = yield from self._next_block(process)
            yield from self._state.wait(stream, step, block.tile, block.part, block.sample)
            elements = block.positions * block.channels
            yield from self._elements(process, stream, step, elements, elements)
            yield from self._free_room()
            left -= elements

    def _collect(self, process: Process, stream: Stream) -> Steps:
        """Take in the sums that serve every timestep."""
        left = self._elements_per_step(stream)
        while left:
            block = yield from self._next_block(process)
            yield from self._free_room()
            left -= block.positions * block.channels

    def _step_of_union(self, process: Process, stream: Stream, step: int) -> Steps:
        """Work through one timestep with the sums that were taken in, in one go where its state is on the chip."""
        if not self._state.spilled(stream):
            yield from self._elements(process, stream, step, self._elements_per_step(stream), 0)
            return
        positions = self._context.network.layers[stream.layer].out_positions
        for tile, channels in self._engine.tiles(stream.layer):
            for first, samples in self._state.parts(stream):
                yield from self._state.wait(stream, step, tile, 0, first)
                yield from self._elements(process, stream, step, samples * positions * channels, 0)

    def _next_block(self, process: Process) -> Steps:
        block: SumBlock = yield from self._engine.results.get(BACKWARD_SUMS)
        with process.account.during(State.STARVED, BACKWARD_SUMS):
            yield self.simulation.timeout(max(0, block.ready_ps - self.simulation.now_ps))
            yield from block.traffic.finish(process)
            if block.hardware is not None:
                yield from block.hardware.wait(State.STARVED, BACKWARD_SUMS)
        return block

    def _free_room(self) -> Steps:
        """Give the oldest block's room in the buffer of backward sums back."""
        yield from self._engine.room.get()

    def _elements(self, process: Process, stream: Stream, step: int, count: int, sums: int) -> Steps:
        """Work on `count` elements, of which `sums` come from the buffer of backward sums."""
        context = self._context
        cycles = self._fill_cycles - (-count // context.config.gradient_unit.width)
        self._fill_cycles = 0
        duration_ps = context.clock.to_ps(cycles)
        traffic = self._traffic(stream, step, count, sums, duration_ps)
        yield from process.work(duration_ps)
        yield from traffic.finish(process)

    def _traffic(self, stream: Stream, step: int, count: int, sums: int, duration_ps: int) -> Transfer:
        """Sums, potentials, masks, spikes and the later timestep's gradients in; compressed gradients out."""
        context, arithmetic = self._context, self._context.arithmetic
        width, flags = arithmetic.value.width_bytes, -(-count // 8)
        _, made = context.gradients.step_bytes(stream.layer, stream.micro_batch, step)
        transfer = Transfer(duration_ps)
        transfer.read(context.ports["backward_sums"], sums * arithmetic.sum.width_bytes)
        transfer.read(context.ports["potentials"], count * width + flags)
        transfer.read(context.ports["spikes"], flags)
        transfer.read(context.ports["gradients"], count * width if step else 0)
        return transfer.write(context.ports["gradients"], -(-made * count // self._elements_per_step(stream)))

    def _elements_per_step(self, stream: Stream) -> int:
        network = self._context.network
        return activation_bits(network, stream.layer, stream.micro_batch.count) // network.timesteps

    def _deliver(self, stream: Stream, step: int) -> Steps:
        """Spill the step's compressed gradients where they have no room, and announce its planes."""
        context, batch = self._context, stream.micro_batch
        yield from context.spill(
            "gradients", stream.layer, batch, *context.gradients.step_bytes(stream.layer, batch, step)
        )
        context.progress.of("gradients", stream.layer, batch.index).advance((step + 1) * batch.count)
