"""Where time goes: every picosecond of a process or an engine is busy, starved or blocked.

Durations are integers and intervals touch, so the totals add up to the elapsed time exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

from tlm.kernel.environment import WholeTimeEnvironment

IDLE = "idle"
"""Reason while a process is neither working nor waiting on a channel and has said nothing else."""
FINISHED = "no work left"
"""Reason after a process has ended."""


class State(StrEnum):
    """What a process does: work, wait for something to work on, or wait for room for what it has made."""

    BUSY = "busy"
    STARVED = "starved"
    BLOCKED = "blocked"


BUSY, STARVED, BLOCKED = State.BUSY, State.STARVED, State.BLOCKED
"""The states by themselves: looking up a member of an Enum is slow in Python 3.11."""


class Interval(NamedTuple):
    """A maximal stretch of time in one state for one reason; `reason` is empty while busy."""

    start_ps: int
    end_ps: int
    state: State
    reason: str

    @property
    def activity(self) -> str:
        """State and reason in words, such as ``starved: DRAM read``."""
        return f"{self.state}: {self.reason}" if self.reason else str(self.state)


Listener = Callable[[Interval], None]


class Account:
    """The book of one process: current state, and time per state and reason since its creation."""

    def __init__(self, env: WholeTimeEnvironment, name: str) -> None:
        self.name = name
        self.state = State.STARVED
        self.reason = IDLE
        self.start_ps = env._now
        self._env = env
        self._since_ps = self.start_ps
        self.watched = False
        """Whether an engine or a listener follows this account, so that no switch may be cut short."""
        self._busy_ps = 0
        self._totals: dict[tuple[State, str], int] = {}
        self._engines: list[EngineAccount] = []
        self._listeners: list[Listener] = []
        self._open: Interval | None = None

    def switch(self, state: State, reason: str = "") -> None:
        """Enter `state` for `reason` now; a stretch of zero length leaves no trace."""
        now_ps = self._env._now
        if now_ps != self._since_ps:
            self._book(now_ps)
        self.state = state
        self.reason = "" if state is BUSY else reason
        for engine in self._engines:
            if state is not BUSY:
                engine.refresh()
            elif engine.state is not BUSY:
                engine.switch(BUSY)  # whatever its other stages do

    @contextmanager
    def during(self, state: State, reason: str = "") -> Iterator[None]:
        """Be in `state` for the body of a ``with`` and in the present state again after it."""
        before, because = self.state, self.reason
        self.switch(state, reason)
        try:
            yield
        finally:
            self.switch(before, because)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every finished interval from now on; `close` hands out the last one."""
        self.switch(self.state, self.reason)
        self._listeners.append(listener)
        self.watched = True

    def close(self) -> None:
        """Book up to now and hand the open interval to the listeners (at the end of a run)."""
        self.switch(self.state, self.reason)
        if self._open is not None:
            self._emit(self._open)
            self._open = None

    def totals_ps(self) -> dict[tuple[State, str], int]:
        """Return picoseconds per (state, reason) from the start until now; they add up to `elapsed_ps`."""
        self.switch(self.state, self.reason)
        busy = {(BUSY, ""): self._busy_ps} if self._busy_ps else {}
        return busy | self._totals

    def state_ps(self, state: State) -> int:
        """Return picoseconds spent in `state` until now, all reasons together."""
        return sum(ps for (booked, _), ps in self.totals_ps().items() if booked is state)

    @property
    def elapsed_ps(self) -> int:
        """Picoseconds from the account's creation until now."""
        return self._env._now - self.start_ps

    def _book(self, now_ps: int) -> None:
        if self.state is BUSY:
            self._busy_ps += now_ps - self._since_ps
        else:
            key = (self.state, self.reason)
            self._totals[key] = self._totals.get(key, 0) + now_ps - self._since_ps
        if self._listeners:
            self._extend(Interval(self._since_ps, now_ps, self.state, self.reason))
        self._since_ps = now_ps

    def _extend(self, piece: Interval) -> None:
        """Join `piece` to the open interval if it goes on in the same state, else start a new one."""
        if self._open is None:
            self._open = piece
        elif self._open[2:] == piece[2:]:
            self._open = self._open._replace(end_ps=piece.end_ps)
        else:
            self._emit(self._open)
            self._open = piece

    def _emit(self, interval: Interval) -> None:
        for listener in self._listeners:
            listener(interval)


_NOTHING_SAID = 3  # more than any number in `EngineAccount._saying_less`


class EngineAccount(Account):
    """Several stages seen as one engine, at every instant.

    Busy if any stage is busy, else blocked if any is blocked, else starved; the reason is that of the first
    stage in order of registration that is in that state (a stage that has ended or idles gives the reason only
    where no other stage waits for anything). A stage that is blocked for a reason in `inside` waits for another
    stage of the same engine: it has nothing to do with the engine's results, so it counts as a stage that idles.
    An engine may itself be a stage of a larger one.
    """

    def __init__(self, env: WholeTimeEnvironment, name: str, inside: Collection[str] = ()) -> None:
        super().__init__(env, name)
        self.stages: list[Account] = []
        self._inside = frozenset(inside)
        self._saying_less = dict.fromkeys(inside, 1) | {IDLE: 1, FINISHED: 2}
        """Reasons that say less than a wait, 0, and how much less."""

    def add(self, stage: Account) -> None:
        """Register one more stage, from now on."""
        self.stages.append(stage)
        stage._engines.append(self)
        stage.watched = True
        self.refresh()

    def refresh(self) -> None:
        """Derive the engine's state from its stages' present states."""
        state, reason = self._combined()
        if state is not self.state or reason != self.reason:
            self.switch(state, reason)

    def _combined(self) -> tuple[State, str]:
        blocked: str | None = None
        starved, least = IDLE, _NOTHING_SAID
        for stage in self.stages:
            state, reason = stage.state, stage.reason
            if state is BUSY:
                return BUSY, ""
            if state is BLOCKED and reason not in self._inside:
                if blocked is None:
                    blocked = reason
            elif least:
                less = self._saying_less.get(reason, 0)
                if less < least:
                    starved, least = reason, less
        if blocked is not None:
            return BLOCKED, blocked
        return STARVED, starved
