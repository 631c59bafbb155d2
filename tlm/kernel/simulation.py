"""The simulation: integer time, the names of all parts, the processes, and the report of a deadlock."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heapify
from math import inf
from typing import SupportsIndex

from simpy.events import Event, EventPriority, Timeout

from tlm.kernel.account import FINISHED, State
from tlm.kernel.environment import WholeTimeEnvironment
from tlm.kernel.errors import Deadlock, ElaborationError, TimeLimitExceeded, TimeValueError
from tlm.kernel.process import Body, Process, process_name
from tlm.kernel.time import whole_ps

_SETTLED = EventPriority(2)  # after SimPy's URGENT (0) and NORMAL (1)


@contextmanager
def no_cycle_search() -> Iterator[None]:
    """Let Python not look for garbage in cycles: a run makes hardly any, and looking takes a fifth of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Simulation:
    """Owns one SimPy environment and everything built on it; the root of all names.

    Modules, channels and sockets take a `Simulation` or a module as their parent.
    """

    def __init__(self) -> None:
        self.env = WholeTimeEnvironment()
        self.name = ""
        self.time_limit_ps: int | None = None
        self._names: dict[str, object] = {}
        self._processes: dict[str, Process] = {}

    @property
    def simulation(self) -> Simulation:
        """The simulation itself, so that it can stand wherever a module can be a parent."""
        return self

    @property
    def now_ps(self) -> int:
        """The present time in picoseconds."""
        return self.env._now

    @property
    def processes(self) -> tuple[Process, ...]:
        """All processes that have not ended, in order of creation."""
        return tuple(self._processes.values())

    @property
    def parts(self) -> tuple[object, ...]:
        """Everything that has a name: modules, channels, sockets and live processes, in order of creation."""
        return tuple(self._names.values())

    def register(self, name: str, part: object) -> str:
        """Enter a part under its full name and return that name; ElaborationError if it is taken."""
        if name in self._names:
            raise ElaborationError("name is taken twice", name, type(part).__name__, "one part per name")
        self._names[name] = part
        return name

    def find(self, full_name: str) -> object:
        """Return the part of that full name; ElaborationError if there is none."""
        if full_name not in self._names:
            raise ElaborationError("no part has this name", "simulation", full_name)
        return self._names[full_name]

    def process(self, body: Body, name: str | None = None, *, daemon: bool = False) -> Process:
        """Start a process at the present time; `body` is a generator function that takes its own process.

        The name defaults to the function's and is free again when the process has ended.
        Raises ElaborationError if the name is taken or `body` is not a generator function.
        """
        full_name = process_name(body) if name is None else name
        if full_name in self._names:
            raise ElaborationError("name is taken twice", full_name, "process", "one part per name")
        process = Process(self.env, full_name, body, daemon)
        self._names[full_name] = self._processes[full_name] = process
        process.callbacks.append(self._forget)
        return process

    def _forget(self, event: Event) -> None:
        if isinstance(event, Process):
            event.account.switch(State.STARVED, FINISHED)
            del self._names[event.full_name], self._processes[event.full_name]

    def timeout(self, delay_ps: SupportsIndex) -> Timeout:
        """Return an event `delay_ps` from now; the account of a process that yields it does not change."""
        return self.env.timeout(delay_ps)

    def cancel(self, event: Event) -> None:
        """Take a triggered event that has not happened yet out of the queue: whoever waits for it waits for ever.

        Raises ElaborationError if it is not in the queue.
        """
        queue = self.env._queue
        for number, entry in enumerate(queue):
            if entry[3] is event:
                queue[number] = queue[-1]
                queue.pop()
                heapify(queue)
                return
        raise ElaborationError("event is not in the queue", "cancel", type(event).__name__)

    def event(self) -> Event:
        """Return an event that someone else triggers by ``succeed``."""
        return Event(self.env)

    def settled(self) -> Event:
        """Return an event at the present time, after everything else that happens in this instant.

        For clocked hardware: sample first, yield this, then commit, so that the result does not depend on the
        order in which processes were created.
        """
        event = Event(self.env)
        event._ok = True
        event._value = None
        self.env.schedule(event, _SETTLED)
        return event

    def run(self, until_ps: SupportsIndex | None = None) -> int:
        """Run until no event is left, or up to `until_ps` (events at `until_ps` itself stay); return the time.

        Raises Deadlock if no event is left while processes other than daemons wait, TimeLimitExceeded if
        `time_limit_ps` is set and reached, TimeValueError if `until_ps` is past, and whatever a process raises.
        """
        until = None if until_ps is None else whole_ps(until_ps, "until_ps")
        if until is not None and until < self.now_ps:
            raise TimeValueError("time is past", "until_ps", until, f"at least {self.now_ps}")
        limit_ps = self._time_limit()
        stop_ps = limit_ps if until is None else min(until, limit_ps)
        with no_cycle_search():
            drained = self.env.drain(stop_ps)
        if drained:
            if self._alive():
                raise Deadlock(self.now_ps, self._describe())
        elif stop_ps == limit_ps and self._alive():
            raise TimeLimitExceeded(self.time_limit_ps or 0, self._describe())
        if until is not None:
            self.env._now = int(min(until, limit_ps))
        return self.now_ps

    def run_until(self, process: Process) -> int:
        """Run until `process` has ended, whatever else goes on (daemons that tick for ever); return the time.

        Raises as `run` does; Deadlock also if no event is left and `process` has not ended.
        """
        limit_ps = self._time_limit()
        while not process.processed:
            next_ps = self.env.peek()
            if next_ps == inf:
                raise Deadlock(self.now_ps, self._describe())
            if next_ps >= limit_ps:
                raise TimeLimitExceeded(self.time_limit_ps or 0, self._describe())
            self.env.drain(next_ps + 1)
        return self.now_ps

    def _time_limit(self) -> int | float:
        """First time at which nothing may happen any more."""
        return inf if self.time_limit_ps is None else self.time_limit_ps + 1

    def _alive(self) -> list[Process]:
        return [process for process in self._processes.values() if not process.daemon]

    def _describe(self) -> tuple[str, ...]:
        """One line per live process, daemons last: they are seldom the cause."""
        ordered = sorted(self._processes.values(), key=lambda process: process.daemon)
        return tuple(process.describe() for process in ordered)
