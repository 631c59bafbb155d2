"""Backward engine: sparse units that sum weighted gradients for outputs with a mask bit, by a trace's real counts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tlm.engines.backward_law import BackwardUnits
from tlm.engines.context import TILE_DEPENDENCY, Context
from tlm.engines.hardware import SumsOnTheirWay
from tlm.engines.streams import Stream, backward_streams
from tlm.kernel.account import FINISHED, EngineAccount, State
from tlm.kernel.byte_channel import ByteChannel
from tlm.kernel.channel import UNBOUNDED, TokenChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.memory.buffer import Transfer
from tlm.memory.dma import DRAM_READ, Descriptor, Prefetch
from tlm.schedule.backward_items import BackwardItems, block_positions, is_union
from tlm.schedule.staging import consumer_samples, gradients_taken

SUMS_ROOM = "room for sums"


@dataclass(frozen=True)
class SumBlock:
    """Sums of `positions` positions of a sample for a channel tile of `channels`; step 0 is the last timestep.

    They belong to the part `part` of the sample's positions.
    """

    step: int
    tile: int
    part: int
    sample: int
    positions: int
    channels: int
    ready_ps: int
    traffic: Transfer
    """What the block moves through the buffers' ports."""
    hardware: SumsOnTheirWay | None = None
    """What of the sums comes from hardware, to be waited for as well."""


class BackwardEngine(Module):
    """Walks steps (timesteps, descending), channel tiles and samples; sums leave through `results`.

    Where the weights of a channel tile are too many to be there together, it walks them part by part, and the samples
    once for each.
    The sums below the last layer are the same at every timestep, so they are made once, for the union of the masks.
    """

    def __init__(self, name: str, parent: Parent, context: Context) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name)
        self.macs: Counter[int] = Counter()
        """Multiply-accumulates of the lanes by layer."""
        self._context = context
        self.streams = backward_streams(context.network, context.batches)
        self._units = BackwardUnits(context.config.backward_engine)
        self.room: ByteChannel[None] = ByteChannel("room", self, context.config.buffers.backward_sums_bytes)
        # blocks made and under way are bounded by the room for sums
        self.results: TokenChannel[SumBlock] = TokenChannel("sums", self, UNBOUNDED)
        self._under_way: TokenChannel[SumBlock] = TokenChannel("under_way", self, UNBOUNDED)
        self._unit = None if context.hardware is None else context.hardware.backward_unit(self, context.clock)
        self._weight_groups: dict[tuple[Stream, int, int, int], tuple[int, int]] = {}
        self._gradient_groups: dict[tuple[Stream, int, int, int, int], tuple[int, int]] = {}
        self._moving: deque[SumBlock] = deque()
        self._weights = self._prefetch_weights()
        self._gradients = self._prefetch_gradients()
        self.account.add(self.process(self._run, "units").account)
        self.account.add(self.process(self._compute, "lanes", daemon=True).account)

    def is_union(self, stream: Stream) -> bool:
        """Whether the stream's sums serve every timestep: below the last layer, whose gradient is always the same."""
        return is_union(self._context.trace, stream.layer)

    def steps(self, stream: Stream) -> int:
        """Steps of a stream: one for the union of all timesteps below the last layer, else every timestep."""
        return 1 if self.is_union(stream) else self._context.network.timesteps

    def tiles(self, layer: int) -> Iterator[tuple[int, int]]:
        """(number, channels) of the channel tiles of a layer's output."""
        channels = self._context.network.layers[layer].out_channels
        size = self._context.config.backward_engine.channel_tile
        for number, first in enumerate(range(0, channels, size)):
            yield number, min(size, channels - first)

    def _run(self, process: Process) -> Steps:
        for stream in self.streams:
            yield from self._context.order.enter(stream)
            if self._context.config.backward_engine.skip_inactive_outputs:  # by the masks
                yield from self._context.recomputed_state(stream)
            completed_ps = self.simulation.now_ps
            for step in range(self.steps(stream)):
                yield from self._wait_for_gradients(stream, step)
                self._context.order.start(stream)
                items = self._items(stream, step)
                self.macs[stream.layer] += items.macs
                for tile, channels in self.tiles(stream.layer):
                    if self._unit is not None:
                        self._unit.begin(stream, step, tile, self._context.position_parts[stream.layer])
                    for part in range(len(self._context.position_parts[stream.layer])):
                        yield from self._wait_for_weights(stream, step, tile, part)
                        completed_ps = yield from self._part(process, stream, step, items, tile, part, channels)
            yield from process.work(max(0, completed_ps - self.simulation.now_ps))

    def _part(
        self, process: Process, stream: Stream, step: int, items: BackwardItems, tile: int, part: int, channels: int
    ) -> Steps:
        """Feed the units with a part of a channel tile, block by block; return when the last sum will be there."""
        context = self._context
        part_first, part_end = context.position_parts[stream.layer][part]
        positions = context.network.layers[stream.layer].out_positions
        width = context.arithmetic.sum.width_bytes
        size = block_positions(positions, channels, context.config)
        completed_ps = self.simulation.now_ps
        for sample in range(stream.micro_batch.count):
            yield from self._wait_for_samples(stream, step, tile, part, sample)
            for first in range(part_first, part_end, size):
                count = min(size, part_end - first)
                start = sample * positions + first
                yield from self.room.put(None, count * channels * width, SUMS_ROOM)
                yield from self._let_ports_catch_up(process)
                now_cycles = self._now_cycles()
                gradients, active = items.work(tile, start, start + count)
                done = self._units.run(gradients, active, now_cycles)
                hardware = None if self._unit is None else self._unit.run(done.units, now_cycles)
                block_ps = context.clock.to_ps(done.completed_cycle)
                completed_ps = max(completed_ps, block_ps)
                unit_elements = items.unit_elements(tile, start, start + count)
                elements = (int(gradients.sum()), unit_elements)
                traffic = self._traffic(elements, count, channels, block_ps - self.simulation.now_ps)
                block = SumBlock(step, tile, part, sample, count, channels, block_ps, traffic, hardware)
                self._moving.append(block)
                yield from self.results.put(block)
                yield from self._under_way.put(block)
                dispatched_ps = context.clock.to_ps(done.dispatched_cycle)
                yield from process.work(max(0, dispatched_ps - self.simulation.now_ps))
        return completed_ps

    def _traffic(self, elements: tuple[int, int], positions: int, channels: int, duration_ps: int) -> Transfer:
        """Move a block: (elements, those among them of weight 1, which read no weights), each item's mask, the sums."""
        arithmetic, ports = self._context.arithmetic, self._context.ports
        everything, of_weight_one = elements
        width = arithmetic.value.width_bytes
        transfer = Transfer(duration_ps)
        transfer.read(ports["weights"], (everything - of_weight_one) * channels * width)
        transfer.read(ports["gradients"], everything * width)
        transfer.read(ports["potentials"], -(-positions * channels // 8))
        return transfer.write(ports["backward_sums"], positions * channels * arithmetic.sum.width_bytes)

    def _let_ports_catch_up(self, process: Process) -> Steps:
        """Feed the units nothing while a block that should be over waits for a port."""
        while self._moving and self._moving[0].ready_ps <= self.simulation.now_ps:
            yield from self._moving.popleft().traffic.finish(process)

    def _compute(self, process: Process) -> Steps:
        """Be busy until the last sum under way is made: the units work on while new items are waited for."""
        while True:
            block = yield from self._under_way.get(FINISHED)
            yield from process.work(max(0, block.ready_ps - self.simulation.now_ps))
            yield from block.traffic.finish(process)
            if block.hardware is not None:
                yield from block.hardware.wait(State.BUSY, "")

    def _now_cycles(self) -> int:
        return self._context.clock.to_cycles(self.simulation.now_ps, "ceil")

    def _items(self, stream: Stream, step: int) -> BackwardItems:
        engine = self._context.config.backward_engine
        return self._context.counts.backward_items(stream.layer, stream.micro_batch, step, engine)

    def _wait_for_gradients(self, stream: Stream, step: int) -> Steps:
        """Wait for the gradients that the sums take at this step, where they stay on the chip."""
        context = self._context
        for above in gradients_taken(context.network, stream.layer):
            if context.placement.is_resident("gradients", above):
                made = context.progress.of("gradients", above, stream.micro_batch.index)
                yield from made.wait_for((step + 1) * stream.micro_batch.count, TILE_DEPENDENCY)

    def _wait_for_weights(self, stream: Stream, step: int, tile: int, part: int) -> Steps:
        """Wait for the weights of a part of a channel tile from DRAM, and free those before."""
        group = self._weight_groups.get((stream, step, tile, part))
        if group is not None:
            self._weights.release(0, group[0])
            yield from self._weights.loaded.wait_for(group[1], DRAM_READ)

    def _wait_for_samples(self, stream: Stream, step: int, tile: int, part: int, sample: int) -> Steps:
        """Wait for the samples of the spilled gradients with which `sample` comes, and free those before."""
        samples = sample // self._samples_per_part(stream)
        group = self._gradient_groups.get((stream, step, tile, part, samples))
        if group is not None:
            self._gradients.release(0, group[0])
            yield from self._gradients.loaded.wait_for(group[1], DRAM_READ)

    def _samples_per_part(self, stream: Stream) -> int:
        """Samples of a step whose gradients, of all layers that the sums take them of, are read back together."""
        context = self._context
        return consumer_samples(context.network, stream.layer, stream.micro_batch.count, context.config)

    def _prefetch_weights(self) -> Prefetch:
        """Weights that do not stay on the chip are read once a step, channel tile by channel tile, part by part."""
        context, layers = self._context, self._context.network.layers
        width = context.arithmetic.value.width_bytes
        items: list[Descriptor] = []
        for stream in self.streams:
            consumers = context.network.consumers(stream.layer)
            spilled = [upper for upper in consumers if not context.placement.is_resident("weights", upper)]
            parts, positions = context.position_parts[stream.layer], layers[stream.layer].out_positions
            for step in range(self.steps(stream) if spilled else 0):
                first = 0
                for tile, channels in self.tiles(stream.layer):
                    for part, (part_first, part_end) in enumerate(parts):
                        before = len(items)
                        for upper in spilled:
                            per_channel = layers[upper].weights_count // layers[upper].in_channels * width
                            whole, begin = channels * per_channel, first * per_channel
                            address = context.address("weights", upper) + begin + whole * part_first // positions
                            items.append(Descriptor("weights", address, whole * (part_end - part_first) // positions))
                        self._weight_groups[stream, step, tile, part] = (before, len(items))
                    first += channels
        window = context.window_bytes("backward_weights")
        return Prefetch("weights", self, context.dma["backward_weights"], items, window)

    def _prefetch_gradients(self) -> Prefetch:
        """Gradients that do not stay on the chip are read once for every part of every channel tile of every step."""
        context = self._context
        items: list[Descriptor] = []
        for stream in self.streams:
            taken, batch = gradients_taken(context.network, stream.layer), stream.micro_batch
            spilled = [above for above in taken if not context.placement.is_resident("gradients", above)]
            if not spilled:
                continue
            samples = self._samples_per_part(stream)
            parts = range(len(context.position_parts[stream.layer]))
            for step, (tile, _), part in product(range(self.steps(stream)), self.tiles(stream.layer), parts):
                for number in range(-(-batch.count // samples)):
                    before = len(items)
                    items += [context.gradients.descriptor(above, batch, step, number, samples) for above in spilled]
                    self._gradient_groups[stream, step, tile, part, number] = (before, len(items))
        window = context.window_bytes("backward_gradients")
        return Prefetch("gradients", self, context.dma["backward_gradients"], items, window)
