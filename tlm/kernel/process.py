"""A process of the simulation: a SimPy process with a name, an account and a note of what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappush
from typing import Any, SupportsIndex

from simpy.events import NORMAL, Event, Timeout
from simpy.events import Process as SimpyProcess

from tlm.kernel.account import BUSY, Account, State
from tlm.kernel.environment import WholeTimeEnvironment
from tlm.kernel.errors import ElaborationError, ProcessError
from tlm.kernel.time import whole_ps

Steps = Generator[Event, Any, Any]
"""What a process body, and every blocking call, returns: to be run by ``yield from``."""
Body = Callable[["Process"], Steps]
"""A generator function that takes its own process."""


def process_name(body: Body) -> str:
    """Return the name a process gets from its generator function."""
    return str(getattr(body, "__name__", "process"))


class Process(SimpyProcess):
    """One thread of control, started by `Simulation.process` or `Module.process`.

    `daemon` marks a server that may wait for ever: it neither keeps a run alive nor counts as deadlocked.
    """

    env: WholeTimeEnvironment

    def __init__(self, env: WholeTimeEnvironment, full_name: str, body: Body, daemon: bool) -> None:
        self.full_name = full_name
        self.daemon = daemon
        self.account = Account(env, full_name)
        self.waiting: Wait | None = None
        generator = body(self)
        if not isinstance(generator, Generator):
            raise ElaborationError("process body is not a generator function", full_name, type(generator).__name__)
        super().__init__(env, generator)
        self._timer = Event(env)
        self._timer._ok = True
        self._timer._value = None

    def work(self, duration_ps: SupportsIndex) -> Steps:
        """Be busy for `duration_ps`; zero takes no event at all.

        Raises TimeValueError if the duration is negative or not whole, ProcessError if another process calls it.
        """
        if type(duration_ps) is not int or duration_ps <= 0:
            duration_ps = whole_ps(duration_ps, f"work of {self.full_name}")
            if not duration_ps:
                return
        # Written out instead of calling the account and SimPy's Timeout: this is the model's innermost loop.
        env = self.env
        if env._active_proc is not self:
            raise ProcessError("work is called by another process", self.full_name)
        account, timer, now_ps = self.account, self._timer, env._now
        before, because = account.state, account.reason
        if account.watched:
            account.switch(BUSY)
        else:
            if now_ps != account._since_ps:
                account._book(now_ps)
            account.state, account.reason = BUSY, ""
        timer.callbacks = []
        heappush(env._queue, (now_ps + duration_ps, NORMAL, next(env._eid), timer))
        yield timer
        if account.watched:
            account.switch(before, because)
        else:
            now_ps = env._now
            account._busy_ps += now_ps - account._since_ps
            account._since_ps = now_ps
            account.state, account.reason = before, because

    def describe(self) -> str:
        """Return one line: who waits for what."""
        suffix = " (daemon)" if self.daemon else ""
        if self.waiting is not None:
            return f"{self.full_name}{suffix} waits for {self.waiting.describe()}"
        if isinstance(self.target, Process):
            return f"{self.full_name}{suffix} waits for the end of {self.target.full_name}"
        if self.target is self._timer or isinstance(self.target, Timeout):
            return f"{self.full_name}{suffix} is {self.account.state} until a later time"
        return f"{self.full_name}{suffix} waits for an event"

    def interrupt(self, cause: object = None) -> None:
        """Refuse: an item could be lost between a channel and an interrupted process."""
        raise ProcessError("kernel processes cannot be interrupted", self.full_name, cause)


class Wait(Event):
    """The event on which a process waits in a channel, and what a deadlock report says about it."""

    def __init__(
        self, env: WholeTimeEnvironment, operation: str, describe: Callable[[Wait], str], amount: int = 0
    ) -> None:
        super().__init__(env)
        self.operation = operation
        self.amount = amount
        self.item: Any = None
        self._describe = describe
        process = env._active_proc
        if not isinstance(process, Process):
            raise ProcessError("must be called from a process of the simulation", describe(self))
        self.process = process

    def pause(self, state: State, reason: str) -> Steps:
        """Wait for this event, booked as `state` for `reason`; return the event's value."""
        process = self.process
        account = process.account
        before, because = account.state, account.reason
        account.switch(state, reason)
        process.waiting = self
        value = yield self
        process.waiting = None
        account.switch(before, because)
        return value

    def describe(self) -> str:
        """Return what is waited for, with the present levels."""
        return self._describe(self)
