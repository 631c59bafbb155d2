"""Parts of a test bench: random stalls, a monitor and a scoreboard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from tlm.kernel import ByteChannel, Clock, Process, Rendezvous, Simulation, Steps, TokenChannel

Channel = TokenChannel[Any] | ByteChannel[Any] | Rendezvous[Any]
"""What can be driven and monitored."""


class ScoreboardMismatch(AssertionError):
    """An item that was not the expected one: position, expected, received, time in ps."""

    def __init__(self, position: int, expected: object, received: object, now_ps: int) -> None:
        super().__init__(position, expected, received, now_ps)

    def __str__(self) -> str:
        position, expected, received, now_ps = self.args
        return f"item {position} at {now_ps} ps: expected {expected!r}, received {received!r}"


class _Nothing:
    def __repr__(self) -> str:
        return "nothing more"


NOTHING = _Nothing()
"""Stands for the expected item where nothing more was expected."""


class Stalls:
    """A seeded sequence of pauses: `next_ps()` is 0, or with `probability` 1 to `longest_cycles` cycles.

    Raises ValueError if the probability is outside 0 to 1 or `longest_cycles` below 1.
    """

    def __init__(self, seed: str, probability: float, longest_cycles: int, clock: Clock) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"stalls: probability is {probability!r}, allowed: 0 to 1")
        if longest_cycles < 1:
            raise ValueError(f"stalls: longest_cycles is {longest_cycles!r}, allowed: at least 1")
        self._random = Random(seed)
        self._probability = probability
        self._longest_cycles = longest_cycles
        self._clock = clock

    def next_ps(self) -> int:
        """Return the next pause in ps."""
        if self._random.random() >= self._probability:
            return 0
        return self._clock.to_ps(self._random.randint(1, self._longest_cycles))


class Scoreboard:
    """Compares what comes with what is expected, in order."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._expected: deque[object] = deque()
        self.received_count = 0
        """Items received so far, all equal to the expected ones."""

    def expect(self, *items: object) -> None:
        """Append items to the end of what is expected."""
        self._expected.extend(items)

    def receive(self, item: object) -> None:
        """Compare `item` with the next expected one; ScoreboardMismatch if it differs or none was expected."""
        expected = self._expected.popleft() if self._expected else NOTHING
        if not equal(expected, item):
            raise ScoreboardMismatch(self.received_count, expected, item, self._simulation.now_ps)
        self.received_count += 1

    def verdict(self) -> str | None:
        """Return what is wrong at the end of a test: items still expected, or nothing checked; None if all is well."""
        if self._expected:
            missing = ", ".join(repr(item) for item in list(self._expected)[:5])
            return (
                f"scoreboard is not empty: {len(self._expected)} items expected and not received by "
                f"{self._simulation.now_ps} ps (received {self.received_count}), next: {missing}"
            )
        if not self.received_count:
            return "scoreboard saw nothing: no item was expected or received"
        return None


def equal(expected: object, received: object) -> bool:
    """Whether two items are equal; arrays must agree in shape and in every element."""
    if getattr(expected, "shape", None) != getattr(received, "shape", None):
        return False
    result: Any = expected == received
    return bool(result.all()) if hasattr(result, "all") else bool(result)


class Monitor:
    """Takes items from a channel and keeps them with the times at which they came."""

    def __init__(self, channel: Channel, count: int | None, stalls: Stalls | None, board: Scoreboard | None) -> None:
        self.items: list[Any] = []
        """Items in the order in which they came."""
        self.times_ps: list[int] = []
        """The time of each."""
        self._channel = channel
        self._count = count
        self._stalls = stalls
        self._board = board

    def run(self, process: Process) -> Steps:
        """Body of the monitor's process."""
        while self._count is None or len(self.items) < self._count:
            item = yield from self._channel.get()
            self.items.append(item)
            self.times_ps.append(process.env._now)
            if self._board is not None:
                self._board.receive(item)
            if self._stalls is not None:
                yield from process.work(self._stalls.next_ps())


def driver_body(
    channel: Channel, items: list[Any], stalls: Stalls | None, size_bytes: Callable[[Any], int] | None
) -> Callable[[Process], Steps]:
    """Return the body of a process that puts `items` into `channel`, pausing before each as `stalls` says."""

    def run(process: Process) -> Steps:
        for item in items:
            if stalls is not None:
                yield from process.work(stalls.next_ps())
            if isinstance(channel, ByteChannel):
                yield from channel.put(item, len(item) if size_bytes is None else size_bytes(item))
            else:
                yield from channel.put(item)

    return run
