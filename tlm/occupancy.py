"""What a simulation keeps beside its result where asked: how full every channel and buffer was, how busy the DRAM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tlm.accelerator import Accelerator
from tlm.kernel.byte_channel import ByteChannel
from tlm.kernel.channel import UNBOUNDED, TokenChannel
from tlm.kernel.level import LevelRecord
from tlm.memory.channel_load import ChannelLoad
from tlm.memory.dma import Prefetch
from tlm.schedule.placement import BUFFER_OF_STREAM

Kind = Literal["queue", "read ahead", "sums", "made again"]


@dataclass(frozen=True)
class PartLevel:
    """How full a part was: `levels[i]` from `times_ps[i]` to `times_ps[i + 1]`, the last one to the end.

    `capacity` is in the same unit. `kind` says what it holds: tokens or bytes between two processes, what is read ahead
    from DRAM, sums on their way to the next unit, or potentials that are made again. `buffer` is the on-chip buffer
    that holds the bytes, empty where it is none.
    """

    kind: Kind
    unit: Literal["bytes", "tokens"]
    capacity: int
    buffer: str
    times_ps: NDArray[np.int64]
    levels: NDArray[np.int64]


@dataclass(frozen=True)
class Occupancy:
    """Levels of the parts that were ever used, by full name, and the load of every DRAM channel."""

    levels: dict[str, PartLevel]
    dram: list[ChannelLoad]


class OccupancyWatch:
    """Watches the bounded channels, the windows of read-ahead and the DRAM of a chip from its first event on."""

    def __init__(self, chip: Accelerator) -> None:
        self._dram = chip.dram
        self._parts: dict[str, tuple[LevelRecord, partial[PartLevel]]] = {}
        sums = {room.name: "output" for room in chip.forward.rooms} | {chip.backward.room.name: "backward_sums"}
        for part in chip.simulation.parts:
            if isinstance(part, ByteChannel):
                kind: Kind = "sums" if part.name in sums else "queue"
                buffer = sums.get(part.name, "")
                if part is chip.context.recomputed_room:
                    kind, buffer = "made again", "potentials"
                level = partial(PartLevel, kind, "bytes", part.capacity_bytes, buffer)
                self._parts[part.name] = (part.watch(), level)
            elif isinstance(part, TokenChannel) and part.capacity != UNBOUNDED:
                self._parts[part.name] = (part.watch(), partial(PartLevel, "queue", "tokens", part.capacity, ""))
            elif isinstance(part, Prefetch) and part.stream:
                level = partial(PartLevel, "read ahead", "bytes", part.room_bytes, BUFFER_OF_STREAM[part.stream])
                self._parts[part.name] = (part.watch(), level)
        self._dram.watch()

    def result(self) -> Occupancy:
        """Return what has been seen until now."""
        levels = {
            name: level(np.array(record.times_ps, np.int64), np.array(record.levels, np.int64))
            for name, (record, level) in self._parts.items()
            if len(record.levels) > 1
        }
        return Occupancy(levels, self._dram.loads())
