"""Meeting points without storage: a level that only rises, and a hand-over at which both sides wait."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Generator
from heapq import heappop, heappush
from itertools import count
from typing import Any, Generic, SupportsIndex, TypeVar

from simpy.events import Event

from tlm.kernel.account import BLOCKED, STARVED
from tlm.kernel.errors import LevelError
from tlm.kernel.module import Component, Parent
from tlm.kernel.process import Steps, Wait

T = TypeVar("T")


class Watermark(Component):
    """An integer that only rises, for work that depends on how far other work has come (tiles done, say)."""

    def __init__(self, name: str, parent: Parent, level: int = 0) -> None:
        super().__init__(name, parent)
        self.level = level
        self._order = count()
        self._waits: list[tuple[int, int, Wait]] = []

    def advance(self, level: SupportsIndex) -> None:
        """Raise the level to `level` and wake whoever waited for that much; LevelError if it would fall."""
        target = operator.index(level)
        if target < self.level:
            raise LevelError("a watermark cannot fall", self.name, target, f"at least {self.level}")
        self.level = target
        while self._waits and self._waits[0][0] <= target:
            heappop(self._waits)[2].succeed()

    def wait_for(self, level: SupportsIndex, reason: str | None = None) -> Steps:
        """Wait (starved) until the level is at least `level`; return at once if it is."""
        target = operator.index(level)
        if target <= self.level:
            return
        wait = Wait(self.env, "level", self._describe, target)
        heappush(self._waits, (target, next(self._order), wait))
        yield from wait.pause(STARVED, reason or self._name)

    def _describe(self, wait: Wait) -> str:
        return f"level {wait.amount} on {self.name} (level {self.level})"


class Rendezvous(Component, Generic[T]):
    """A hand-over without storage: `put` and `get` both return at the time at which the later of them came."""

    def __init__(self, name: str, parent: Parent) -> None:
        super().__init__(name, parent)
        self.put_count = 0
        """Items handed over so far."""
        self._getters: deque[Wait] = deque()
        self._putters: deque[Wait] = deque()

    def put(self, item: T, reason: str | None = None) -> Steps:
        """Hand one item over; wait (blocked) until someone takes it."""
        if self._getters:
            self.put_count += 1
            self._getters.popleft().succeed(item)
            return
        wait = Wait(self.env, "put", self._describe)
        wait.item = item
        self._putters.append(wait)
        yield from wait.pause(BLOCKED, reason or self._name)

    def get(self, reason: str | None = None) -> Generator[Event, Any, T]:
        """Take one item over and return it; wait (starved) until someone brings one."""
        if self._putters:
            self.put_count += 1
            wait = self._putters.popleft()
            wait.succeed()
            item: T = wait.item
            return item
        wait = Wait(self.env, "get", self._describe)
        self._getters.append(wait)
        item = yield from wait.pause(STARVED, reason or self._name)
        return item

    def _describe(self, wait: Wait) -> str:
        return f"{wait.operation} on {self.name} (capacity 0)"
