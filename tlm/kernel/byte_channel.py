"""Bounded channels of bytes with back-pressure: on-chip buffers that hold items of different sizes."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any, Generic, SupportsIndex, TypeVar

from simpy.events import Event

from tlm.kernel.account import BLOCKED, STARVED
from tlm.kernel.channel import whole_number
from tlm.kernel.errors import CapacityError
from tlm.kernel.level import LevelRecord
from tlm.kernel.module import Component, Parent
from tlm.kernel.process import Steps, Wait

T = TypeVar("T")


class Lease(Generic[T]):
    """An item taken from a `ByteChannel` whose bytes still occupy it until they are released."""

    __slots__ = ("_channel", "held_bytes", "item")

    def __init__(self, channel: ByteChannel[T], item: T, size_bytes: int) -> None:
        self.item = item
        self.held_bytes = size_bytes
        self._channel = channel

    def release(self, size_bytes: SupportsIndex | None = None) -> None:
        """Free `size_bytes` of the item's bytes, or all that are left.

        Raises CapacityError if more is released than is held.
        """
        where = self._channel.name
        freed = self.held_bytes if size_bytes is None else whole_number(size_bytes, 0, "release", where, "bytes")
        if freed > self.held_bytes:
            raise CapacityError("more released than is held", where, freed, f"at most {self.held_bytes} bytes")
        self.held_bytes -= freed
        self._channel._free(freed)


class ByteChannel(Component, Generic[T]):
    """A FIFO of items that occupy `capacity_bytes` together; items and writers keep their order.

    A writer that waits for room is served before any later one, however small. An item of 0 bytes always has
    room once it is its turn. Accounts as `TokenChannel`. Raises CapacityError if the capacity is not an integer
    of at least 1.
    """

    def __init__(self, name: str, parent: Parent, capacity_bytes: SupportsIndex) -> None:
        super().__init__(name, parent)
        self.capacity_bytes = whole_number(capacity_bytes, 1, "capacity", self.name, "bytes")
        self.level_bytes = 0
        """Bytes occupied now, by items inside and by items on lease."""
        self.peak_level_bytes = 0
        """Most bytes that were ever occupied at once."""
        self.put_count = 0
        """Items accepted so far."""
        self.put_bytes = 0
        """Bytes accepted so far."""
        self._items: deque[Lease[T]] = deque()
        self._getters: deque[Wait] = deque()
        self._putters: deque[Wait] = deque()
        self._record: LevelRecord | None = None

    @property
    def item_count(self) -> int:
        """Items inside now."""
        return len(self._items)

    def watch(self) -> LevelRecord:
        """Return the record of `level_bytes`, kept from now on."""
        self._record = LevelRecord(self.env, self.level_bytes)
        return self._record

    def put(self, item: T, size_bytes: SupportsIndex, reason: str | None = None) -> Steps:
        """Put one item of `size_bytes` in; wait (blocked) until it has room.

        Raises CapacityError if the size is negative, not whole, or larger than the capacity.
        """
        size = self._checked(size_bytes)
        if self._has_room(size):
            self._accept(item, size)
            return
        wait = Wait(self.env, "put", self._describe, size)
        wait.item = item
        self._putters.append(wait)
        yield from wait.pause(BLOCKED, reason or self._name)

    def try_put(self, item: T, size_bytes: SupportsIndex) -> bool:
        """Put one item in if that needs no waiting; return whether it did. Raises as `put` does."""
        size = self._checked(size_bytes)
        if not self._has_room(size):
            return False
        self._accept(item, size)
        return True

    def hold(self, reason: str | None = None) -> Generator[Event, Any, Lease[T]]:
        """Take the oldest item on lease: its bytes stay occupied until released; wait (starved) if there is none."""
        if self._items:
            return self._items.popleft()
        wait = Wait(self.env, "get", self._describe)
        self._getters.append(wait)
        lease: Lease[T] = yield from wait.pause(STARVED, reason or self._name)
        return lease

    def get(self, reason: str | None = None) -> Generator[Event, Any, T]:
        """Take the oldest item, free its bytes and return it; wait (starved) while there is none."""
        lease = yield from self.hold(reason)
        lease.release()
        return lease.item

    def _checked(self, size_bytes: SupportsIndex) -> int:
        size = whole_number(size_bytes, 0, "item size", self.name, "bytes")
        if size > self.capacity_bytes:
            raise CapacityError(
                "item is larger than the channel", self.name, size, f"at most {self.capacity_bytes} bytes"
            )
        return size

    def _has_room(self, size: int) -> bool:
        return not self._putters and self.level_bytes + size <= self.capacity_bytes

    def _accept(self, item: T, size: int) -> None:
        self.put_count += 1
        self.put_bytes += size
        self.level_bytes += size
        self.peak_level_bytes = max(self.peak_level_bytes, self.level_bytes)
        if self._record is not None:
            self._record.note(self.level_bytes)
        lease = Lease(self, item, size)
        if self._getters:
            self._getters.popleft().succeed(lease)
        else:
            self._items.append(lease)

    def _free(self, size: int) -> None:
        self.level_bytes -= size
        if self._record is not None:
            self._record.note(self.level_bytes)
        while self._putters and self.level_bytes + self._putters[0].amount <= self.capacity_bytes:
            wait = self._putters.popleft()
            self._accept(wait.item, wait.amount)
            wait.succeed()

    def _describe(self, wait: Wait) -> str:
        amount = f" of {wait.amount} bytes" if wait.operation == "put" else ""
        level = f"level {self.level_bytes} of {self.capacity_bytes} bytes, {self.item_count} items inside"
        return f"{wait.operation}{amount} on {self.name} ({level})"
