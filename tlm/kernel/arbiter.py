"""Arbitration of several initiators onto one target.

A decision is taken after everything else in its instant has happened (sample first, commit second), so that it
does not depend on the order in which the requesting processes were created.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, SupportsIndex

from simpy.events import Event

from tlm.kernel.channel import whole_number
from tlm.kernel.module import Module, Parent
from tlm.kernel.payload import Payload
from tlm.kernel.process import Steps, Wait
from tlm.kernel.socket import InitiatorSocket, TargetSocket


class Policy(Protocol):
    """Chooses who is served next."""

    def choose(self, requesting: Sequence[bool]) -> int:
        """Return the port to serve, given which ports request (at least one does)."""
        ...


class RoundRobin:
    """Serves the first requesting port after the one served last, in cyclic order."""

    def __init__(self) -> None:
        self._last = -1

    def choose(self, requesting: Sequence[bool]) -> int:
        """Return the first requesting port after the last one served."""
        ports = len(requesting)
        self._last = next(
            port % ports for port in range(self._last + 1, self._last + 1 + ports) if requesting[port % ports]
        )
        return self._last


class StaticPriority:
    """Serves the requesting port of the lowest number; the others may wait for ever."""

    def choose(self, requesting: Sequence[bool]) -> int:
        """Return the requesting port of the lowest number."""
        return list(requesting).index(True)


class Arbiter(Module):
    """`ports` target sockets `inputs` onto one initiator socket `output`.

    At most `outstanding` transactions are inside the target at once (1: it finishes one before the next).
    Requests of one port keep their order. Raises CapacityError if `ports` or `outstanding` is below 1.
    """

    def __init__(
        self,
        name: str,
        parent: Parent,
        ports: SupportsIndex,
        policy: Policy | None = None,
        outstanding: SupportsIndex = 1,
    ) -> None:
        super().__init__(name, parent)
        self.policy: Policy = RoundRobin() if policy is None else policy
        self.outstanding = whole_number(outstanding, 1, "outstanding", self.name, "transactions")
        count = whole_number(ports, 1, "number of ports", self.name, "ports")
        self.output = InitiatorSocket("output", self)
        self.inputs = tuple(self._input(port) for port in range(count))
        self.grant_counts = [0] * count
        """Transactions granted so far, per port."""
        self._queues: tuple[deque[Wait], ...] = tuple(deque() for _ in range(count))
        self._in_flight = 0
        self._deciding = False

    def _input(self, port: int) -> TargetSocket:
        transport: Callable[[Payload], Steps] = partial(self._b_transport, port)
        return TargetSocket(f"input{port}", self, transport, transport_dbg=self.output.transport_dbg)

    def _b_transport(self, port: int, payload: Payload) -> Steps:
        wait = Wait(self.env, f"grant of port {port}", self._describe, port)
        self._queues[port].append(wait)
        self._decide_when_settled()
        account = wait.process.account
        yield from wait.pause(account.state, account.reason)
        yield from self.output.b_transport(payload, account.reason)
        self._in_flight -= 1
        self._decide_when_settled()

    def _decide_when_settled(self) -> None:
        if not self._deciding and any(self._queues):
            self._deciding = True
            self.simulation.settled().callbacks.append(self._decide)

    def _decide(self, _event: Event) -> None:
        self._deciding = False
        while self._in_flight < self.outstanding and any(self._queues):
            port = self.policy.choose([bool(queue) for queue in self._queues])
            self._in_flight += 1
            self.grant_counts[port] += 1
            self._queues[port].popleft().succeed()

    def _describe(self, wait: Wait) -> str:
        return f"{wait.operation} on {self.name} ({self._in_flight} of {self.outstanding} in flight)"
