"""Bounded channels of tokens with back-pressure.

No event is made unless a process really has to wait: a put into a channel with room and a get from one with
items return at once. Waiters are served in the order in which they came. With one writer and one reader per
channel the times of a network do not depend on the order in which its processes were created (Kahn network);
where several writers share a target in the same instant, put an arbiter in front.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Generator
from typing import Any, Generic, SupportsIndex, TypeVar

from simpy.events import Event

from tlm.kernel.account import BLOCKED, STARVED
from tlm.kernel.errors import CapacityError
from tlm.kernel.level import LevelRecord, RecordedItems
from tlm.kernel.module import Component, Parent
from tlm.kernel.process import Steps, Wait

T = TypeVar("T")

UNBOUNDED = 1 << 30
"""Capacity of a channel whose tokens something else bounds."""


def whole_number(value: SupportsIndex, least: int, what: str, where: str, unit: str) -> int:
    """Return `value` as a plain ``int``; CapacityError if it is not an integer or below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise CapacityError(f"{what} is not a whole number", where, value, f"integer {unit}") from None
    if number < least:
        raise CapacityError(f"{what} is too small", where, number, f"at least {least} {unit}")
    return number


class TokenChannel(Component, Generic[T]):
    """A FIFO of at most `capacity` tokens with blocking put and get (sc_fifo).

    A process that waits in `get` is booked as starved, in `put` as blocked; the reason is the channel's name
    unless the caller gives one. Raises CapacityError if the capacity is not an integer of at least 1.
    """

    def __init__(self, name: str, parent: Parent, capacity: SupportsIndex) -> None:
        super().__init__(name, parent)
        self.capacity = whole_number(capacity, 1, "capacity", self.name, "tokens")
        self.put_count = 0
        """Tokens accepted so far."""
        self.peak_level = 0
        """Most tokens that were ever inside at once."""
        self._items: deque[T] = deque()
        self._getters: deque[Wait] = deque()
        self._putters: deque[Wait] = deque()

    @property
    def level(self) -> int:
        """Tokens inside now."""
        return len(self._items)

    def watch(self) -> LevelRecord:
        """Return the record of the level, kept from now on."""
        record = LevelRecord(self.env, self.level)
        self._items = RecordedItems(self._items, record)
        return record

    def put(self, item: T, reason: str | None = None) -> Steps:
        """Put one token in; wait (blocked) while the channel is full."""
        if self._getters:
            self.put_count += 1
            self._getters.popleft().succeed(item)
            return
        items = self._items
        if len(items) < self.capacity:
            items.append(item)
            self.put_count += 1
            if len(items) > self.peak_level:
                self.peak_level = len(items)
            return
        wait = Wait(self.env, "put", self._describe)
        wait.item = item
        self._putters.append(wait)
        yield from wait.pause(BLOCKED, reason or self._name)

    def get(self, reason: str | None = None) -> Generator[Event, Any, T]:
        """Take the oldest token out and return it; wait (starved) while the channel is empty."""
        if self._items:
            return self._take() if self._putters else self._items.popleft()
        wait = Wait(self.env, "get", self._describe)
        self._getters.append(wait)
        item: T = yield from wait.pause(STARVED, reason or self._name)
        return item

    def try_put(self, item: T) -> bool:
        """Put one token in if that needs no waiting; return whether it did."""
        if self._getters:
            self.put_count += 1
            self._getters.popleft().succeed(item)
            return True
        if len(self._items) < self.capacity:
            self._append(item)
            return True
        return False

    def try_get(self) -> tuple[T] | None:
        """Take the oldest token out if there is one; return it in a tuple of one, or None."""
        return (self._take(),) if self._items else None

    def _append(self, item: T) -> None:
        items = self._items
        items.append(item)
        self.put_count += 1
        if len(items) > self.peak_level:
            self.peak_level = len(items)

    def _take(self) -> T:
        """Take the oldest token; the first waiting writer's token moves in at the same time."""
        item = self._items.popleft()
        if self._putters:
            wait = self._putters.popleft()
            self._append(wait.item)
            wait.succeed()
        return item

    def _describe(self, wait: Wait) -> str:
        return f"{wait.operation} on {self.name} (level {self.level} of {self.capacity} tokens)"
