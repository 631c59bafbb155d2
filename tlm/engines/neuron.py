"""Neuron unit: integrates forward sums, fires, records potentials and masks; the last sums go to the host."""

from __future__ import annotations

from tlm.engines.context import Context
from tlm.engines.lut_array import LutArray
from tlm.engines.pipeline_law import PipelineTiming
from tlm.engines.streams import Stream
from tlm.kernel.account import EngineAccount
from tlm.kernel.byte_channel import ByteChannel
from tlm.kernel.channel import TokenChannel
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Process, Steps
from tlm.memory.buffer import Transfer
from tlm.schedule.geometry import MicroBatch, is_direct
from tlm.schedule.lut_jobs import LutJob, LutPlan

FORWARD_SUMS = "forward sums"
POTENTIALS_ROOM = "room for potentials"
HOST = "host"


class NeuronUnit(Module):
    """Takes the jobs of the forward arrays in order, `width` neurons a cycle, and frees their output room.

    Where a layer's potentials and masks are recomputed, its forward pass leaves only spikes behind. The stream that
    makes them again takes room for the whole layer first; its own compare says who fired, so it neither reads nor
    writes spikes.
    """

    def __init__(
        self,
        name: str,
        parent: Parent,
        context: Context,
        plans: dict[Stream, LutPlan],
        arrays: list[LutArray],
        rooms: list[ByteChannel[None]],
    ) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name)
        self.host_queue: TokenChannel[MicroBatch] = TokenChannel("host_queue", self, len(context.batches))
        self._context = context
        self._plans = plans
        self._arrays = arrays
        self._rooms = rooms
        self.account.add(self.process(self._run, "neurons").account)

    def _run(self, process: Process) -> Steps:
        context = self._context
        for stream, plan in self._plans.items():
            if stream.recompute:
                yield from context.recomputed_room.put(None, context.state_bytes(stream), POTENTIALS_ROOM)
            yield from self._layer(process, stream, plan)
            if stream.layer == context.last_layer:
                yield from self.host_queue.put(stream.micro_batch)
            context.order.leave(stream)

    def _layer(self, process: Process, stream: Stream, plan: LutPlan) -> Steps:
        context = self._context
        unit = context.config.neuron_unit
        fill_cycles = PipelineTiming(unit.latency_cycles).fill_cycles
        neurons_done = 0
        for number, job in enumerate(plan.jobs):
            array = number % plan.arrays
            yield from self._arrays[array].results.get(FORWARD_SUMS)
            neurons = job.row_count * job.position_count * self._repeats(stream)
            duration_ps = context.clock.to_ps(fill_cycles - (-neurons // unit.width))
            traffic = self._traffic(stream, job, neurons, duration_ps)
            yield from process.work(duration_ps)
            yield from traffic.finish(process)
            fill_cycles = 0
            lease = yield from self._rooms[array].hold()
            lease.release()
            yield from self._store(stream, neurons_done, neurons_done + neurons)
            neurons_done += neurons
            if stream.layer != context.last_layer and job.row_block == plan.row_blocks - 1:
                self._announce(stream, job.position_end, plan.work.positions)

    def _traffic(self, stream: Stream, job: LutJob, neurons: int, duration_ps: int) -> Transfer:
        """Sums and the timestep before in; potentials, masks and spikes out."""
        context, arithmetic = self._context, self._context.arithmetic
        transfer = Transfer(duration_ps)
        sums = job.row_count * job.position_count
        transfer.read(context.ports["output"], sums * arithmetic.sum.width_bytes)
        if stream.layer != context.last_layer:
            width, flags = arithmetic.value.width_bytes, -(-neurons // 8)
            if not is_direct(context.network, stream.layer):  # there a neuron's timesteps follow each other in the unit
                plane = stream.micro_batch.count * context.network.layers[stream.layer].out_positions
                later = job.row_count * max(0, job.position_end - max(plane, job.position_first))
                transfer.read(context.ports["potentials"], later * width)
                transfer.read(context.ports["spikes"], 0 if stream.recompute else -(-later // 8))
            transfer.write(context.ports["potentials"], self._state_bytes(stream, neurons))
            transfer.write(context.ports["spikes"], 0 if stream.recompute else flags)
        return transfer

    def _state_bytes(self, stream: Stream, neurons: int) -> int:
        """Bytes that `neurons` leave in the potentials buffer: no masks where they are made again later.

        Their potentials then only serve the next timestep, and none at all where timesteps follow each other.
        """
        context = self._context
        width = context.arithmetic.value.width_bytes
        if stream.recompute or stream.layer not in context.placement.recomputed:
            return neurons * width + -(-neurons // 8)
        return 0 if is_direct(context.network, stream.layer) else neurons * width

    def _repeats(self, stream: Stream) -> int:
        """Timesteps for which one forward sum serves: all of them where the input is the same picture."""
        network = self._context.network
        return network.timesteps if is_direct(network, stream.layer) else 1

    def _announce(self, stream: Stream, positions_done: int, positions: int) -> None:
        """Raise the level of what the stream makes to the (t, b) planes that are complete in all channels."""
        context = self._context
        planes = context.network.timesteps * stream.micro_batch.count
        if positions_done == positions:
            done = planes
        elif is_direct(context.network, stream.layer):
            done = 0
        else:
            done = positions_done // context.network.layers[stream.layer].out_positions
        made = "potentials" if stream.recompute else "spikes"
        context.progress.of(made, stream.layer, stream.micro_batch.index).advance(done)

    def _store(self, stream: Stream, before: int, after: int) -> Steps:
        """Spill what the neurons `before` to `after` leave behind where it has no room on the chip."""
        context, layer = self._context, stream.layer
        if layer == context.last_layer or stream.recompute:
            return
        for tensor in ("spikes", "masks"):
            first, end = -(-before // 8), -(-after // 8)
            yield from context.spill(tensor, layer, stream.micro_batch, first, end - first)
        width = context.arithmetic.value.width_bytes
        yield from context.spill("potentials", layer, stream.micro_batch, before * width, (after - before) * width)


class Host(Module):
    """The host: softmax and the loss gradient of a micro-batch, one round trip after its last logit."""

    def __init__(self, name: str, parent: Parent, context: Context, queue: TokenChannel[MicroBatch]) -> None:
        super().__init__(name, parent)
        self.account = EngineAccount(self.env, self.name)
        self._context = context
        self._queue = queue
        self.account.add(self.process(self._run, "loss").account)

    def _run(self, process: Process) -> Steps:
        context, layer = self._context, self._context.last_layer
        width = context.arithmetic.value.width_bytes
        for _ in context.batches:
            batch = yield from self._queue.get("logits")
            yield from process.work(context.config.host.round_trip_ps)
            length = batch.count * context.network.classes * width
            yield from context.spill("gradients", layer, batch, 0, length)
            context.progress.of("gradients", layer, batch.index).advance(context.network.timesteps * batch.count)
