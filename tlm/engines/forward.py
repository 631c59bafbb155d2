"""Forward engine: LUT arrays that turn spikes and weights into sums, tile by tile, and feed the neuron unit."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from tlm.engines.adding import zero_skipping_cycles
from tlm.engines.context import TILE_DEPENDENCY, Context
from tlm.engines.lut_array import HAND_OVERS, ArrayStream, LutArray
from tlm.engines.streams import FORWARD, Stream, forward_streams
from tlm.kernel.account import EngineAccount
from tlm.kernel.byte_channel import ByteChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.payload import Command
from tlm.kernel.process import Process, Steps
from tlm.memory.buffer import Transfer
from tlm.memory.dma import DRAM_READ, Descriptor, Prefetch
from tlm.schedule.geometry import forward_work, is_direct
from tlm.schedule.lut_jobs import LutJob, LutPlan, ZeroTiles, plan_jobs
from tlm.schedule.zero_tiles import forward_zero_tiles
from workloads.network import INPUT, Layer

SUMS_ROOM = "room for sums"
_WeightKey = tuple[Stream | None, int, int]


class _Groups(NamedTuple):
    """Numbers of the reads of a row block's weights, and of those among them that do not stay."""

    numbers: list[int]
    passing: list[int]


def _tensor(source: int) -> str:
    return "inputs" if source == INPUT else "spikes"


class ForwardEngine(Module):
    """Arrays share the jobs of every layer; weights arrive by row block, spikes by plane."""

    def __init__(self, name: str, parent: Parent, context: Context) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name, inside=HAND_OVERS)
        self._context = context
        config = context.config
        order = forward_streams(context.network, context.batches, context.placement.recomputed, config.in_flight)
        first = {(s.layer, s.micro_batch): self._plan(s) for s in order if not s.recompute}
        self.plans = {s: first[s.layer, s.micro_batch] for s in order}
        count = config.forward_engine.arrays
        self._weight_groups: dict[_WeightKey, int] = {}
        self._weights = self._prefetch_weights(count)
        self._spike_groups: dict[tuple[Stream, int, int], tuple[int, int]] = {}
        self._spikes = self._prefetch_spikes(count)
        room_bytes = config.buffers.output_bytes // count
        self.rooms: list[ByteChannel[None]] = [ByteChannel(f"room{array}", self, room_bytes) for array in range(count)]
        cycles = zero_skipping_cycles(context, config.forward_engine, update=False)
        self.arrays = [
            LutArray(
                array,
                self,
                context.clock,
                config.engine_timing(config.forward_engine),
                self._streams(array),
                self,
                self.account,
                FORWARD,
                context.hardware,
                cycles,
            )
            for array in range(count)
        ]

    def begin(self, array: int, stream: Stream) -> Steps:
        """Wait for the pipeline's permission."""
        yield from self._context.order.enter(stream)

    def table_data(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        """Wait for the job's row block of weights, those of a projection too."""
        if number:
            return
        groups = self._row_block_groups(stream, job.row_block)
        self._weights.release(array, min(groups.passing or groups.numbers))
        yield from self._weights.loaded.wait_for(max(groups.numbers) + 1, DRAM_READ)
        self._context.order.start(stream)

    def indices(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        """Wait until the spikes in reach of the job's positions have been made, and read back where spilled."""
        if number:
            return
        progress, batch = self._context.progress, stream.micro_batch
        planes = self._last_plane(stream, job) + 1
        spilled = self._spilled(stream)
        for source in self._context.network.taken(stream.layer):
            if source not in spilled:
                tensor = _tensor(source)
                made = progress.of(tensor, source, batch.index)
                yield from made.wait_for(planes, DRAM_READ if tensor == "inputs" else TILE_DEPENDENCY)
        if spilled:
            last = (planes - 1) // batch.count if self._timesteps(stream) > 1 else 0
            first = job.position_first // (self._positions_per_timestep(stream))
            self._spikes.release(array, self._spike_groups[stream, job.row_block, first][0])
            _, end = self._spike_groups[stream, job.row_block, last]
            yield from self._spikes.loaded.wait_for(end, DRAM_READ)

    def output_room(self, array: int, stream: Stream, job: LutJob) -> Steps:
        """Reserve room for the job's sums in the array's part of the output buffer."""
        width = self._context.arithmetic.sum.width_bytes
        yield from self.rooms[array].put(None, job.row_count * job.position_count * width, SUMS_ROOM)

    def table_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        """The tile's weights, those of the job's rows for k x G elements."""
        config = self._context.config
        size_bytes = job.row_count * config.lut.k * config.lut.lanes * self._context.arithmetic.value.width_bytes
        return Transfer(duration_ps).read(self._context.ports["weights"], size_bytes)

    def look_up_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        """Every position's k x G spikes, with the first tile those of an identity, with the last one the sums."""
        config, ports = self._context.config, self._context.ports
        transfer = Transfer(duration_ps)
        transfer.read(ports["spikes"], -(-job.position_count * config.lut.k * config.lut.lanes // 8))
        if number == 0 and self._layer(stream).identity is not None:
            transfer.read(ports["spikes"], -(-job.row_count * job.position_count // 8))
        if number == len(job.tiles) - 1:
            sums = job.row_count * job.position_count
            transfer.write(ports["output"], sums * self._context.arithmetic.sum.width_bytes)
        return transfer

    def after_cycles(self, stream: Stream) -> int:
        """Sums leave the adder for the output buffer at once."""
        return 0

    def end(self, array: int, stream: Stream) -> Steps:
        """Free what the array has held of the stream's weights and spikes."""
        row_blocks = self.plans[stream].row_blocks
        self._weights.release(array, max(self._row_block_groups(stream, row_blocks - 1).numbers) + 1)
        last = (stream, row_blocks - 1, self._timesteps(stream) - 1)
        if last in self._spike_groups:
            self._spikes.release(array, self._spike_groups[last][1])
        return
        yield

    def _plan(self, stream: Stream) -> LutPlan:
        context = self._context
        config = context.config
        work = forward_work(context.network, stream.layer, stream.micro_batch.count, config.contract)
        zero: ZeroTiles | None = None
        if config.lut.skip_zero_tiles:
            zero = forward_zero_tiles(context.trace, stream.layer, stream.micro_batch, config.contract)
        return plan_jobs(work, config.forward_engine, config.engine_timing(config.forward_engine), zero)

    def _streams(self, array: int) -> list[ArrayStream]:
        return [ArrayStream(stream, plan.of_array(array)) for stream, plan in self.plans.items()]

    def _layer(self, stream: Stream) -> Layer:
        return self._context.network.layers[stream.layer]

    def _timesteps(self, stream: Stream) -> int:
        network = self._context.network
        return 1 if is_direct(network, stream.layer) else network.timesteps

    def _positions_per_timestep(self, stream: Stream) -> int:
        return stream.micro_batch.count * self._layer(stream).out_positions

    def _last_plane(self, stream: Stream, job: LutJob) -> int:
        """The last (t, b) plane that the job's positions look at; the input picture counts as one plane."""
        if is_direct(self._context.network, stream.layer):
            return 0
        return (job.position_end - 1) // self._layer(stream).out_positions

    def _spilled(self, stream: Stream) -> list[int]:
        """The layers whose spikes the stream reads back from DRAM; `INPUT` is the network's input."""
        placement, sources = self._context.placement, self._context.network.taken(stream.layer)
        return [source for source in sources if not placement.is_resident(_tensor(source), source)]

    def _weight_key(self, stream: Stream, part: int, row_block: int) -> _WeightKey:
        """Resident weights are loaded once, with the first stream of their layer."""
        resident = self._context.placement.is_resident("weights", part)
        return (None if resident else stream, part, row_block)

    def _row_block_groups(self, stream: Stream, row_block: int) -> _Groups:
        keys = [self._weight_key(stream, part, row_block) for part in self._context.network.parts(stream.layer)]
        passing = [self._weight_groups[key] for key in keys if key[0] is not None]
        return _Groups([self._weight_groups[key] for key in keys], passing)

    def _prefetch_weights(self, arrays: int) -> Prefetch:
        """Load row block after row block; resident layers have room of their own, others wait for a free slot."""
        context = self._context
        width = context.arithmetic.value.width_bytes
        items: list[Descriptor] = []
        owned: list[bool] = []
        for stream, plan in self.plans.items():
            for job, part in product(plan.jobs, context.network.parts(stream.layer)):
                layer, key = context.network.layers[part], self._weight_key(stream, part, job.row_block)
                if key not in self._weight_groups:
                    self._weight_groups[key] = len(items)
                    offset = job.row_first * layer.elements * width
                    address = context.address("weights", part) + offset
                    items.append(Descriptor("weights", address, job.row_count * layer.elements * width))
                    owned.append(context.placement.is_resident("weights", part))
        window = context.window_bytes("forward_weights")
        return Prefetch("weights", self, context.dma["forward_weights"], items, window, arrays, owned)

    def _prefetch_spikes(self, arrays: int) -> Prefetch:
        """Read spilled spikes (or input) back by timestep, once for every row block."""
        context = self._context
        items: list[Descriptor] = []
        for stream, plan in self.plans.items():
            spilled, timesteps = self._spilled(stream), self._timesteps(stream)
            if not spilled:
                continue
            for row_block, t in product(range(plan.row_blocks), range(timesteps)):
                before = len(items)
                for source in spilled:
                    items.append(context.timestep_read(_tensor(source), source, stream.micro_batch, t, timesteps))
                self._spike_groups[stream, row_block, t] = (before, len(items))
        window = context.window_bytes("forward_spikes")
        return Prefetch("spikes", self, context.dma["forward_spikes"], items, window, arrays)


class InputLoader(Module):
    """Brings the input of each micro-batch onto the chip where it fits; `micro_batches_in_flight` may be there."""

    def __init__(self, name: str, parent: Parent, context: Context) -> None:
        super().__init__(name, parent)
        self._context = context
        if context.placement.is_resident("inputs", INPUT):
            self.process(self._run, "load")

    def _run(self, _process: Process) -> Steps:
        context = self._context
        for batch in context.batches:
            yield from context.order.room_for(batch)
            address = context.address("inputs", INPUT, batch)
            item = Descriptor("inputs", address, context.tensor_bytes("inputs", INPUT, batch))
            yield from context.dma["inputs"].transfer(Command.READ, item)
            planes = 1 if is_direct(context.network, 0) else context.network.timesteps * batch.count
            context.progress.of("inputs", INPUT, batch.index).advance(planes)
