"""What the gradient unit reads back of the forward pass: spilled potentials, masks and spikes, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tlm.engines.context import Context
from tlm.engines.streams import Stream
from tlm.kernel.module import Module, Parent
from tlm.kernel.process import Steps
from tlm.memory.dma import DRAM_READ, Descriptor, Prefetch
from tlm.schedule.backward_items import is_union
from tlm.schedule.staging import state_samples

_WINDOWS = {"potentials": ("potentials", "masks"), "spikes": ("spikes",)}
"""The tensors that share a buffer, and with it a staging window."""


class GradientState(Module):
    """Reads by timestep (the last one first), channel tile, part of the positions and part of the samples.

    That is the order of the sums, or that in which the unit takes sums that serve every timestep.
    """

    def __init__(self, name: str, parent: Parent, context: Context, streams: Sequence[Stream]) -> None:
        super().__init__(name, parent)
        self._context = context
        self._groups: dict[tuple[str, Stream, int, int, int, int], tuple[int, int]] = {}
        self._reads = {buffer: self._prefetch(buffer, tensors, streams) for buffer, tensors in _WINDOWS.items()}

    def spilled(self, stream: Stream) -> bool:
        """Whether anything of the stream's layer must be read back."""
        return any((buffer, stream, 0, 0, 0, 0) in self._groups for buffer in _WINDOWS)

    def parts(self, stream: Stream) -> Iterator[tuple[int, int]]:
        """(first sample, samples) of the parts of a timestep, channel tile and part of the positions."""
        count, size = stream.micro_batch.count, self._samples(stream)
        for first in range(0, count, size):
            yield first, min(size, count - first)

    def wait(self, stream: Stream, step: int, tile: int, part: int, sample: int) -> Steps:
        """Wait for what holds a sample of a part of the positions, and free what comes before."""
        samples = sample // self._samples(stream)
        for buffer, reads in self._reads.items():
            group = self._groups.get((buffer, stream, step, tile, part, samples))
            if group is not None:
                reads.release(0, group[0])
                yield from reads.loaded.wait_for(group[1], DRAM_READ)

    def _position_parts(self, stream: Stream) -> tuple[tuple[int, int], ...]:
        """Parts of the positions whose sums come one after the other; sums that serve every timestep are all there."""
        context = self._context
        if is_union(context.trace, stream.layer):
            return ((0, context.network.layers[stream.layer].out_positions),)
        return context.position_parts[stream.layer]

    def _samples(self, stream: Stream) -> int:
        """Samples read together: those of a part of the positions do not lie one after the other."""
        if len(self._position_parts(stream)) > 1:
            return 1
        context = self._context
        return state_samples(context.network.layers[stream.layer], stream.micro_batch.count, context.config)

    def _prefetch(self, buffer: str, tensors: Sequence[str], streams: Sequence[Stream]) -> Prefetch:
        context = self._context
        items: list[Descriptor] = []
        for stream in streams:
            spilled = [tensor for tensor in tensors if not context.placement.is_resident(tensor, stream.layer)]
            if spilled:
                self._plan(items, buffer, spilled, stream)
        window = context.window_bytes(f"state_{buffer}")
        return Prefetch(buffer, self, context.dma["gradient_state"], items, window)

    def _plan(self, items: list[Descriptor], buffer: str, spilled: Sequence[str], stream: Stream) -> None:
        """Plan one stream: in DRAM a timestep lies channel tile by channel tile, sample by sample."""
        context, batch = self._context, stream.micro_batch
        layer, timesteps = context.network.layers[stream.layer], context.network.timesteps
        size = context.config.backward_engine.channel_tile
        for step in range(timesteps):
            t = timesteps - 1 - step
            for tile, channel in enumerate(range(0, layer.out_channels, size)):
                channels = min(size, layer.out_channels - channel)
                tile_first = (t * layer.out_channels + channel) * batch.count * layer.out_positions
                neurons = layer.out_positions * channels
                for part, (part_first, part_end) in enumerate(self._position_parts(stream)):
                    for samples, (first, count) in enumerate(self.parts(stream)):
                        begin = tile_first + first * neurons + part_first * channels
                        end = tile_first + (first + count - 1) * neurons + part_end * channels
                        before = len(items)
                        planes = t * batch.count + first + count
                        for tensor in spilled:
                            items.append(context.state_read(tensor, stream.layer, batch, (begin, end), planes))
                        self._groups[buffer, stream, step, tile, part, samples] = (before, len(items))
