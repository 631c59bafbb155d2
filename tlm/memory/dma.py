"""DMA between DRAM and on-chip buffers: descriptors cut into transactions, prefetching reads, posted writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tlm.kernel.account import BLOCKED, STARVED
from tlm.kernel.byte_channel import ByteChannel
from tlm.kernel.channel import TokenChannel
from tlm.kernel.errors import CapacityError
from tlm.kernel.level import LevelRecord
from tlm.kernel.module import Module, Parent
from tlm.kernel.payload import READ, Command, Payload
from tlm.kernel.process import Process, Steps, Wait
from tlm.kernel.socket import InitiatorSocket, TargetSocket
from tlm.kernel.synchronize import Watermark
from tlm.memory.buffer import BufferPorts

DRAM_READ = "DRAM read"
DRAM_WRITE = "DRAM write"


class Descriptor(NamedTuple):
    """One contiguous transfer of a stream. A read may have to wait until `ready` has reached `level`."""

    stream: str
    address: int
    length_bytes: int
    ready: Watermark | None = None
    level: int = 0


class BufferPath:
    """The way between a DMA channel and the buffers: `width_ps(bytes)` long at least, through the stream's ports."""

    def __init__(self, ports: Mapping[str, BufferPorts], width_bytes: int, clock_period_ps: int) -> None:
        self._ports = ports
        self._width_bytes = width_bytes
        self._clock_period_ps = clock_period_ps

    def ports_of(self, stream: str) -> BufferPorts | None:
        """Return the ports of the buffer that the stream's tensors lie in; None where they lie in none."""
        return self._ports.get(stream)

    def least_ps(self, length_bytes: int) -> int:
        """Shortest time in which `length_bytes` cross the path."""
        return -(-length_bytes // self._width_bytes) * self._clock_period_ps


class _Chunks:
    """The transactions of one descriptor that are not over, and who waits for the last."""

    __slots__ = ("done", "left")

    def __init__(self, count: int) -> None:
        self.left = count
        self.done: Wait | None = None


class Dma(Module):
    """One DMA channel: at most `outstanding` transactions of at most `chunk_bytes` under way at once.

    With a `path`, a transaction also occupies the ports of the buffer that it fills or drains, and is over when both
    DRAM and ports are through.
    """

    def __init__(
        self,
        name: str,
        parent: Parent,
        target: TargetSocket,
        chunk_bytes: int,
        outstanding: int,
        path: BufferPath | None = None,
    ) -> None:
        super().__init__(name, parent)
        self.socket = InitiatorSocket("socket", self)
        self.socket.bind(target)
        self.chunk_bytes = chunk_bytes
        self._path = path
        self._queue: TokenChannel[tuple[Payload, _Chunks]] = TokenChannel("queue", self, outstanding)
        for worker in range(outstanding):
            self.process(self._work, f"worker{worker}", daemon=True)

    def transfer(self, command: Command, item: Descriptor) -> Steps:
        """Carry out one descriptor; return when its last byte has arrived."""
        offsets = range(0, item.length_bytes, self.chunk_bytes)
        chunks = _Chunks(len(offsets))
        waiting = DRAM_READ if command is READ else DRAM_WRITE
        for offset in offsets:
            length = min(self.chunk_bytes, item.length_bytes - offset)
            payload = Payload(command, item.address + offset, length, item.stream)
            yield from self._queue.put((payload, chunks), waiting)
        if chunks.left:
            chunks.done = Wait(self.env, item.stream, self._describe, chunks.left)
            yield from chunks.done.pause(STARVED, waiting)

    def _work(self, process: Process) -> Steps:
        path = self._path
        while True:
            payload, chunks = yield from self._queue.get()
            ports = None if path is None else path.ports_of(payload.stream)
            if path is None or ports is None:
                yield from self.socket.b_transport(payload)
            else:
                flow = ports.begin(payload.length, path.least_ps(payload.length))
                yield from self.socket.b_transport(payload)
                if flow is not None and not flow.done:
                    yield from ports.finish(process, flow, BLOCKED if payload.command is READ else STARVED)
            payload.require_ok()
            chunks.left -= 1
            if not chunks.left and chunks.done is not None:
                chunks.done.succeed()

    def _describe(self, wait: Wait) -> str:
        return f"the last of {wait.amount} transactions of {wait.operation} on {self.name}"


class Prefetch(Module):
    """Reads a list of descriptors in order; at most `window_bytes` of them occupy the staging buffer at a time.

    `loaded` is the number of descriptors whose data are on the chip. Consumer i calls ``release(i, n)`` when it needs
    none of the first n any more; room is free once every consumer has said so. Descriptors marked in `owned` have room
    of their own for good and occupy none. Raises CapacityError if a descriptor is larger than the window.
    """

    def __init__(
        self,
        name: str,
        parent: Parent,
        dma: Dma,
        items: Sequence[Descriptor],
        window_bytes: int,
        consumers: int = 1,
        owned: Sequence[bool] = (),
    ) -> None:
        super().__init__(name, parent)
        self.loaded = Watermark("loaded", self)
        self.peak_staged_bytes = 0
        """Most bytes that were ever staged at once."""
        self._released = Watermark("released", self)
        self._done_by = [0] * consumers
        self._dma = dma
        self._items = items
        self._window_bytes = window_bytes
        self._staged = [item.length_bytes if not (owned and owned[n]) else 0 for n, item in enumerate(items)]
        self._begun = 0
        self._record: LevelRecord | None = None
        if self._staged and max(self._staged) > window_bytes:
            raise CapacityError(
                "descriptor is larger than the staging window",
                self.name,
                max(self._staged),
                f"at most {window_bytes} bytes",
            )
        if items:
            self.process(self._load, "load")

    @property
    def stream(self) -> str:
        """Stream of the first descriptor, empty where there is none."""
        return self._items[0].stream if self._items else ""

    @property
    def room_bytes(self) -> int:
        """Room that the descriptors have: the window, and that of the owned ones."""
        owned = zip(self._items, self._staged, strict=True)
        return self._window_bytes + sum(item.length_bytes - staged for item, staged in owned)

    def watch(self) -> LevelRecord:
        """Return the record, kept from now on, of the bytes begun to be read and not released; owned ones never are."""
        self._begun_bytes = [0, *accumulate(item.length_bytes for item in self._items)]
        self._staged_bytes = [0, *accumulate(self._staged)]
        self._record = LevelRecord(self.env)
        return self._record

    def release(self, consumer: int, count: int) -> None:
        """Say that `consumer` is through with the first `count` descriptors."""
        self._done_by[consumer] = max(self._done_by[consumer], count)
        self._released.advance(min(self._done_by))
        self._note()

    def _note(self) -> None:
        if self._record is not None:
            released_bytes = self._staged_bytes[min(self._released.level, self._begun)]
            self._record.note(self._begun_bytes[self._begun] - released_bytes)

    def _load(self, _process: Process) -> Steps:
        staged: deque[int] = deque()  # descriptors with room in the window, oldest first
        staged_bytes = 0
        for number, item in enumerate(self._items):
            if self._staged[number]:
                while staged_bytes + self._staged[number] > self._window_bytes:
                    yield from self._released.wait_for(staged[0] + 1, "buffer room")
                    while staged and staged[0] < self._released.level:
                        staged_bytes -= self._staged[staged.popleft()]
                staged.append(number)
                staged_bytes += self._staged[number]
                self.peak_staged_bytes = max(self.peak_staged_bytes, staged_bytes)
            if item.ready is not None:
                yield from item.ready.wait_for(item.level)
            self._begun = number + 1
            self._note()
            if item.length_bytes:
                yield from self._dma.transfer(Command.READ, item)
            self.loaded.advance(number + 1)


class PostedWrites(Module):
    """Writes that the producer does not wait for, as long as they fit into a write buffer of `capacity_bytes`."""

    def __init__(self, name: str, parent: Parent, dma: Dma, capacity_bytes: int) -> None:
        super().__init__(name, parent)
        self.capacity_bytes = capacity_bytes
        self._dma = dma
        self._channel: ByteChannel[Descriptor] = ByteChannel("buffer", self, capacity_bytes)
        self.process(self._drain, "drain", daemon=True)
        self.written = Watermark("written", self)
        self._posted = 0

    def write(self, item: Descriptor) -> Steps:
        """Post one write; wait (blocked) while the write buffer is full."""
        for offset in range(0, item.length_bytes, self.capacity_bytes):
            length = min(self.capacity_bytes, item.length_bytes - offset)
            piece = Descriptor(item.stream, item.address + offset, length)
            self._posted += 1
            yield from self._channel.put(piece, length, DRAM_WRITE)

    def flush(self) -> Steps:
        """Wait until everything posted so far has been written."""
        yield from self.written.wait_for(self._posted, DRAM_WRITE)

    def _drain(self, _process: Process) -> Steps:
        while True:
            lease = yield from self._channel.hold()
            yield from self._dma.transfer(Command.WRITE, lease.item)
            lease.release()
            self.written.advance(self.written.level + 1)
