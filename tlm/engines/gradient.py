"""Gradient unit: turns backward sums, potentials and masks into gradients, timestep by timestep, last one first."""

from __future__ import annotations

from tlm.engines.backward import BackwardEngine, SumBlock
from tlm.engines.context import Context, Stream
from tlm.engines.pipeline_law import PipelineTiming
from tlm.kernel.account import EngineAccount, State
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.memory.dma import DRAM_READ, Descriptor, Prefetch
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
        self._state_groups: dict[tuple[Stream, int], int] = {}
        self._state = self._prefetch_state()
        self.account.add(self.process(self._run, "gradients").account)

    def _run(self, process: Process) -> Steps:
        context = self._context
        for stream in self._engine.streams:
            self._fill_cycles = PipelineTiming(context.config.gradient_unit.latency_cycles).fill_cycles
            union = self._engine.is_union(stream)
            if union:
                yield from self._collect(process, stream)
            for step in range(context.network.timesteps):
                yield from self._wait_for_state(stream, step)
                if union:
                    yield from self._elements(process, self._elements_per_step(stream))
                else:
                    yield from self._step(process, stream)
                yield from self._deliver(stream, step)
            if is_direct(context.network, stream.layer):
                sums = context.progress.of("gradient_sums", stream.layer, stream.micro_batch.index)
                sums.advance(stream.micro_batch.count)
            context.order.leave(stream)

    def _step(self, process: Process, stream: Stream) -> Steps:
        """Work through one timestep, block by block as the sums arrive."""
        left = self._elements_per_step(stream)
        while left:
            block = yield from self._next_block(process)
            elements = block.positions * block.channels
            yield from self._elements(process, elements)
            yield from self._free_room()
            left -= elements

    def _collect(self, process: Process, stream: Stream) -> Steps:
        """Take in the sums that serve every timestep."""
        left = self._elements_per_step(stream)
        while left:
            block = yield from self._next_block(process)
            yield from self._free_room()
            left -= block.positions * block.channels

    def _next_block(self, process: Process) -> Steps:
        block: SumBlock = yield from self._engine.results.get(BACKWARD_SUMS)
        with process.account.during(State.STARVED, BACKWARD_SUMS):
            yield self.simulation.timeout(max(0, block.ready_ps - self.simulation.now_ps))
            if block.hardware is not None:
                yield from block.hardware.wait(State.STARVED, BACKWARD_SUMS)
        return block

    def _free_room(self) -> Steps:
        """Give the oldest block's room in the output buffer back."""
        yield from self._engine.room.get()

    def _elements(self, process: Process, count: int) -> Steps:
        context = self._context
        cycles = self._fill_cycles - (-count // context.config.gradient_unit.width)
        self._fill_cycles = 0
        yield from process.work(context.clock.to_ps(cycles))

    def _elements_per_step(self, stream: Stream) -> int:
        network = self._context.network
        return activation_bits(network, stream.layer, stream.micro_batch.count) // network.timesteps

    def _deliver(self, stream: Stream, step: int) -> Steps:
        """Spill the step's compressed gradients where they have no room, and announce its planes."""
        context, batch = self._context, stream.micro_batch
        sizes = context.gradients.bytes_by_step(stream.layer, batch)
        yield from context.spill("gradients", stream.layer, batch, sum(sizes[:step]), sizes[step])
        context.progress.of("gradients", stream.layer, batch.index).advance((step + 1) * batch.count)

    def _wait_for_state(self, stream: Stream, step: int) -> Steps:
        """Wait for the timestep's potentials, masks and spikes where they were spilled."""
        group = self._state_groups.get((stream, step))
        if group is not None:
            self._state.release(0, group)
            end = self._state_groups.get((stream, step + 1), group + self._spilled_tensors(stream))
            yield from self._state.loaded.wait_for(end, DRAM_READ)

    def _spilled_tensors(self, stream: Stream) -> int:
        tensors = ("potentials", "masks", "spikes")
        return sum(not self._context.placement.is_resident(tensor, stream.layer) for tensor in tensors)

    def _prefetch_state(self) -> Prefetch:
        """Read what the forward pass spilled back by timestep, last one first."""
        context = self._context
        items: list[Descriptor] = []
        timesteps = context.network.timesteps
        for stream in self._engine.streams:
            layer, batch = stream.layer, stream.micro_batch
            spilled = [t for t in ("potentials", "masks", "spikes") if not context.placement.is_resident(t, layer)]
            for step in range(timesteps if spilled else 0):
                self._state_groups[stream, step] = len(items)
                for tensor in spilled:
                    items.append(context.timestep_read(tensor, layer, batch, timesteps - 1 - step, timesteps))
        widest = max((self._spilled_tensors(stream) for stream in self._engine.streams), default=0)
        return Prefetch("state", self, context.dma["gradient_state"], items, max(1, 2 * widest))
