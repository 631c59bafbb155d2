"""Weight update engine: LUT arrays whose tables hold gradients and whose indices are spikes, packed by points."""

from __future__ import annotations

from functools import partial

from tlm.engines.adding import zero_skipping_cycles
from tlm.engines.context import TILE_DEPENDENCY, Context
from tlm.engines.lut_array import HAND_OVERS, ArrayStream, LutArray
from tlm.engines.pipeline_law import PipelineTiming
from tlm.engines.streams import UPDATE, Stream, update_streams
from tlm.engines.transposition import TranspositionUnit
from tlm.kernel.account import EngineAccount
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.memory.buffer import Transfer
from tlm.memory.dma import DRAM_READ, Descriptor, Prefetch
from tlm.schedule.geometry import is_direct, update_point_groups, update_work
from tlm.schedule.lut_jobs import LutJob, LutPlan, ZeroTiles, plan_jobs
from tlm.schedule.transposition import words_per_tile
from tlm.schedule.zero_tiles import update_zero_tiles
from workloads.network import CONSTANT, INPUT


class WeightUpdateEngine(Module):
    """Arrays share the jobs of every layer; a tile can be built as soon as its points' gradients are there."""

    def __init__(self, name: str, parent: Parent, context: Context) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name, inside=HAND_OVERS)
        self._context = context
        config = context.config
        self.plans = {s: self._plan(s) for s in update_streams(context.network, context.batches)}
        count = config.weight_update_engine.arrays
        self._arrays_in: dict[Stream, int] = dict.fromkeys(self.plans, count)
        self.transposition = TranspositionUnit("transposition", self, context, count)
        self._spilled = [ArrayReads(array, self, context, self.plans) for array in range(count)]
        cycles = zero_skipping_cycles(context, config.weight_update_engine, update=True)
        self.arrays = [
            LutArray(
                array,
                self,
                context.clock,
                config.engine_timing(config.weight_update_engine),
                self._streams(array),
                self,
                self.account,
                UPDATE,
                context.hardware,
                cycles,
            )
            for array in range(count)
        ]
        for array in self.arrays:
            self.process(partial(self._feed, array.number), f"feed{array.number}")
            self.process(partial(self._store, array), f"store{array.number}", daemon=True)

    def begin(self, array: int, stream: Stream) -> Steps:
        """Wait for the pipeline's permission."""
        yield from self._context.order.enter(stream)

    def table_data(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        """Wait until the gradients of the tile's points have been made, and for what must come back from DRAM."""
        context, layer = self._context, stream.layer
        owner = context.network.joined(layer)
        if number == 0:
            yield from self._spilled[array].wait("weight_gradients", stream, job)
        level = self._planes_needed(stream, job.tiles[number])
        if is_direct(context.network, layer):
            sums = context.progress.of("gradient_sums", layer, stream.micro_batch.index)
            yield from sums.wait_for(level, TILE_DEPENDENCY)
        elif context.placement.is_resident("gradients", owner):
            made = context.progress.of("gradients", owner, stream.micro_batch.index)
            yield from made.wait_for(level, TILE_DEPENDENCY)
        else:
            part = self._spilled[array].gradient_part(stream, level - 1)
            yield from self._spilled[array].wait("gradients", stream, job, part)
        if number == 0:
            context.order.start(stream)

    def indices(self, array: int, stream: Stream, job: LutJob, number: int) -> Steps:
        """Take the tile's transposed indices."""
        yield from self.transposition.take(array)

    def output_room(self, array: int, stream: Stream, job: LutJob) -> Steps:
        """Sums stay in the accumulator memories and leave at one result a cycle and row: nothing to wait for."""
        return
        yield

    def table_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        """The gradients of the tile's k x G points for the job's rows."""
        config = self._context.config
        size_bytes = job.row_count * config.lut.k * config.lut.lanes * self._context.arithmetic.value.width_bytes
        return Transfer(duration_ps).read(self._context.ports["gradients"], size_bytes)

    def look_up_traffic(self, stream: Stream, job: LutJob, number: int, duration_ps: int) -> Transfer:
        """With the first tile the sums of the micro-batches before, with the last one the new sums."""
        ports = self._context.ports["partial_sums"]
        size_bytes = job.row_count * job.position_count * self._context.arithmetic.sum.width_bytes
        transfer = Transfer(duration_ps)
        if number == 0 and stream.micro_batch.index:
            transfer.read(ports, size_bytes)
        if number == len(job.tiles) - 1:
            transfer.write(ports, size_bytes)
        return transfer

    def after_cycles(self, stream: Stream) -> int:
        """The sums over bytes pass a weight gradient unit, one lane a row, that scales them and adds them to dW."""
        if not is_direct(self._context.network, stream.layer):
            return 0
        return PipelineTiming(self._context.config.gradient_unit.latency_cycles).fill_cycles

    def end(self, array: int, stream: Stream) -> Steps:
        """Give up what skipped tiles have not used; the stream is over when its last array is through."""
        self._spilled[array].finish(stream)
        self._arrays_in[stream] -= 1
        if not self._arrays_in[stream]:
            self._context.order.leave(stream)
        return
        yield

    def _plan(self, stream: Stream) -> LutPlan:
        context = self._context
        config = context.config
        work = update_work(context.network, stream.layer, stream.micro_batch.count, config.contract)
        zero: ZeroTiles | None = None
        if config.lut.skip_zero_tiles:
            zero = update_zero_tiles(context.trace, stream.layer, stream.micro_batch, config.contract)
        return plan_jobs(work, config.weight_update_engine, config.engine_timing(config.weight_update_engine), zero)

    def _streams(self, array: int) -> list[ArrayStream]:
        return [ArrayStream(stream, plan.of_array(array)) for stream, plan in self.plans.items()]

    def _planes_needed(self, stream: Stream, tile: int) -> int:
        """Number of (t, b) planes, last timestep first, that hold the points of a tile."""
        context, samples = self._context, stream.micro_batch.count
        network, arithmetic = context.network, context.arithmetic
        layer = network.layers[stream.layer]
        groups = update_point_groups(network, stream.layer, samples, arithmetic.k)
        tiles_per_plane = self.plans[stream].work.tiles_per_plane
        last_group = min((tile % tiles_per_plane + 1) * arithmetic.lanes, groups) - 1
        planes = samples * (1 if is_direct(network, stream.layer) else network.timesteps)
        if layer.fully_connected:
            return min((last_group + 1) * arithmetic.k, planes)
        return last_group // -(-layer.conv_positions // arithmetic.k) + 1

    def _feed(self, array: int, _process: Process) -> Steps:
        """Ask for the indices of every tile of the array's jobs, in order."""
        context = self._context
        arithmetic = context.arithmetic
        for stream, plan in self.plans.items():
            yield from context.order.enter(stream)
            layer = context.network.layers[stream.layer]
            for job in plan.of_array(array):
                words = words_per_tile(layer, job.position_first, job.position_end, context.config)
                bits = job.position_count * arithmetic.k * arithmetic.lanes
                for number, tile in enumerate(job.tiles):
                    level = self._planes_needed(stream, tile)
                    yield from self._spilled[array].wait_for_spikes(stream, job, level)
                    first = job is plan.jobs[0] and number == 0
                    yield from self.transposition.request(array, words, bits, fill=first)

    def _store(self, array: LutArray, _process: Process) -> Steps:
        """Write sums that do not stay on the chip back to DRAM, job by job; after the last one they are complete."""
        context = self._context
        width = context.arithmetic.sum.width_bytes
        for stream, plan in self.plans.items():
            for _ in plan.of_array(array.number):
                job = yield from array.results.get()
                elements = context.network.layers[stream.layer].elements
                offset = (job.row_first * elements + job.position_first) * width
                length = job.row_count * job.position_count * width
                yield from context.spill("weight_gradients", stream.layer, context.batches[0], offset, length)
                stored = context.progress.of("stored_jobs", stream.layer, stream.micro_batch.index)
                stored.advance(stored.level + 1)
                if stream.micro_batch is context.batches[-1] and stored.level == len(plan.jobs):
                    context.progress.of("weight_gradients", stream.layer).advance(1)


_WINDOWS = {"weight_gradients": "update_sums", "gradients": "update_gradients", "spikes": "update_spikes"}
"""The staging window of each tensor that comes back."""


class ArrayReads(Module):
    """What one array reads back from DRAM: earlier sums, spilled gradients and spilled spikes, in the order of use."""

    def __init__(self, array: int, parent: Parent, context: Context, plans: dict[Stream, LutPlan]) -> None:
        super().__init__(f"reads{array}", parent)
        self._context = context
        self._groups: dict[tuple[str, Stream, LutJob, int], int] = {}
        self._ends: dict[tuple[str, Stream], int] = {}
        items: dict[str, list[Descriptor]] = {"weight_gradients": [], "gradients": [], "spikes": []}
        for stream, plan in plans.items():
            for job in plan.of_array(array):
                self._plan_job(items, plans, stream, job)
            self._ends |= {(tensor, stream): len(planned) for tensor, planned in items.items()}
        self._reads = {
            tensor: Prefetch(tensor, self, context.dma[f"update_{tensor}"], items[tensor], context.window_bytes(window))
            for tensor, window in _WINDOWS.items()
        }

    def wait(self, tensor: str, stream: Stream, job: LutJob, part: int = 0) -> Steps:
        """Wait for a part of a tensor if it was spilled, and free the parts before it."""
        group = self._groups.get((tensor, stream, job, part))
        if group is not None:
            self._reads[tensor].release(0, group)
            yield from self._reads[tensor].loaded.wait_for(group + 1, DRAM_READ)

    def gradient_part(self, stream: Stream, plane: int) -> int:
        """The part of a layer's gradients that holds a (t, b) plane, last timestep first."""
        context, batch = self._context, stream.micro_batch
        step, sample = divmod(plane, batch.count)
        parts = context.gradients.parts(stream.layer, batch)
        within = sample // context.gradients.samples_per_part(stream.layer, batch)
        owner = context.network.joined(stream.layer)
        return within if owner == context.last_layer else step * parts + within

    def finish(self, stream: Stream) -> None:
        """Free whatever was read for a stream; where tiles are skipped nobody may have waited for its last parts."""
        for tensor, reads in self._reads.items():
            reads.release(0, self._ends[tensor, stream])

    def wait_for_spikes(self, stream: Stream, job: LutJob, planes: int) -> Steps:
        """Wait until the spikes of the first `planes` planes, last timestep first, are on the chip."""
        context, batch = self._context, stream.micro_batch
        below = context.network.layers[stream.layer].source
        if below == CONSTANT:
            return
        tensor = "inputs" if below == INPUT else "spikes"
        if context.placement.is_resident(tensor, below):
            made = context.progress.of(tensor, below, batch.index)
            level = 1 if is_direct(context.network, stream.layer) else context.network.timesteps * batch.count
            yield from made.wait_for(level, TILE_DEPENDENCY)
        else:
            part = 0 if is_direct(context.network, stream.layer) else (planes - 1) // batch.count
            yield from self.wait("spikes", stream, job, part)

    def _plan_job(
        self, items: dict[str, list[Descriptor]], plans: dict[Stream, LutPlan], stream: Stream, job: LutJob
    ) -> None:
        context, batch, layer = self._context, stream.micro_batch, stream.layer
        direct, owner = is_direct(context.network, layer), context.network.joined(layer)
        timesteps = 1 if direct else context.network.timesteps
        if batch.index and not context.placement.is_resident("weight_gradients", layer):
            before = Stream(stream.engine, layer, context.batches[batch.index - 1])
            earlier = self._earlier_sums(before, job, len(plans[before].jobs))
            self._add(items, "weight_gradients", stream, job, 0, earlier)
        if not direct and not context.placement.is_resident("gradients", owner):
            parts = context.gradients.parts(layer, batch)
            for number in range(parts * (1 if owner == context.last_layer else timesteps)):
                item = context.gradients.descriptor(layer, batch, *divmod(number, parts))
                self._add(items, "gradients", stream, job, number, item)
        below = context.network.layers[layer].source
        tensor = "inputs" if below == INPUT else "spikes"
        if below != CONSTANT and not context.placement.is_resident(tensor, below):
            for step in range(timesteps):
                item = context.timestep_read(tensor, below, batch, timesteps - 1 - step, timesteps)
                self._add(items, "spikes", stream, job, step, item)

    def _add(
        self,
        items: dict[str, list[Descriptor]],
        tensor: str,
        stream: Stream,
        job: LutJob,
        part: int,
        item: Descriptor,
    ) -> None:
        self._groups[tensor, stream, job, part] = len(items[tensor])
        items[tensor].append(item)

    def _earlier_sums(self, before: Stream, job: LutJob, jobs: int) -> Descriptor:
        """The sums that the job's rows and elements had after the `jobs` of the micro-batch before."""
        context = self._context
        elements = context.network.layers[before.layer].elements
        width = context.arithmetic.sum.width_bytes
        offset = (job.row_first * elements + job.position_first) * width
        address = context.address("weight_gradients", before.layer) + offset
        stored = context.progress.of("stored_jobs", before.layer, before.micro_batch.index)
        return Descriptor("weight_gradients", address, job.row_count * job.position_count * width, stored, jobs)
