"""Initiator and target sockets: blocking, non-blocking and debug transport (TLM-2.0 on SimPy).

A target implements `b_transport`, or `nb_transport_fw`, or both; whichever form an initiator calls, the
binding adapts it (`tlm.kernel.adapters`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tlm.kernel.account import BLOCKED, STARVED
from tlm.kernel.adapters import BlockingCaller, BlockingServer
from tlm.kernel.errors import ElaborationError, ProcessError, ProtocolError
from tlm.kernel.module import Component, Parent
from tlm.kernel.payload import INCOMPLETE, READ, Payload, Phase, Reply
from tlm.kernel.process import Process, Steps
from tlm.kernel.protocol import BACKWARD, FORWARD, PhaseChecker
from tlm.kernel.time import whole_ps

BlockingTransport = Callable[[Payload], Steps]
NonBlockingTransport = Callable[[Payload, Phase, int], Reply]
DebugTransport = Callable[[Payload], int]
Observer = Callable[["InitiatorSocket", "TargetSocket", Payload, int, int], None]
"""Called with initiator, target, payload, start and end (ps) when a transaction is over."""


class TargetSocket(Component):
    """Where a target is called. Several initiators may be bound to one target socket.

    `b_transport(payload)` is a generator function that takes the transaction's time and sets the response;
    `nb_transport_fw(payload, phase, delay_ps)` answers with a `Reply`; `transport_dbg(payload)` moves data
    without time and returns the number of bytes. Raises ElaborationError if there is neither transport.
    """

    def __init__(
        self,
        name: str,
        parent: Parent,
        b_transport: BlockingTransport | None = None,
        nb_transport_fw: NonBlockingTransport | None = None,
        transport_dbg: DebugTransport | None = None,
    ) -> None:
        super().__init__(name, parent)
        if b_transport is None and nb_transport_fw is None:
            raise ElaborationError("target has neither b_transport nor nb_transport_fw", self.name)
        self.b_transport = b_transport
        self.nb_transport_fw = nb_transport_fw
        self.transport_dbg = transport_dbg
        self._links: list[Link] = []

    def nb_transport_bw(self, payload: Payload, phase: Phase, delay_ps: int = 0) -> Reply:
        """Send END_REQ or BEGIN_RESP to the initiator that began `payload`.

        Raises ProtocolError if no initiator has begun it, or the phase is out of order.
        """
        for link in self._links:
            if link.checker.in_flight(payload):
                return link.backward(payload, phase, delay_ps)
        raise ProtocolError("no initiator has begun this transaction", self.name, str(phase))


class InitiatorSocket(Component):
    """Where an initiator calls its one target.

    `nb_transport_bw(payload, phase, delay_ps)` receives the target's phases; only initiators that call
    `nb_transport_fw` need it. `observers` are told of every transaction that is over.
    """

    def __init__(self, name: str, parent: Parent, nb_transport_bw: NonBlockingTransport | None = None) -> None:
        super().__init__(name, parent)
        self.nb_transport_bw = nb_transport_bw
        self.observers: list[Observer] = []
        self._link: Link | None = None

    def bind(self, target: TargetSocket) -> None:
        """Bind to `target`; ElaborationError if this socket is bound already."""
        if self._link is not None:
            raise ElaborationError("initiator socket is bound twice", self.name, target.name)
        self._link = Link(self, target)
        target._links.append(self._link)

    @property
    def link(self) -> Link:
        """The binding; ElaborationError if there is none."""
        if self._link is None:
            raise ElaborationError("initiator socket is not bound", self.name)
        return self._link

    def b_transport(self, payload: Payload, reason: str | None = None) -> Steps:
        """Carry out the transaction; return when it is over, with `payload.response` set.

        The process is booked as starved while it reads and as blocked while it writes; the reason is the
        socket's name unless given. Raises ProtocolError if the target leaves the response incomplete.
        """
        link, env = self.link, self.env
        process = env._active_proc
        if not isinstance(process, Process):
            raise ProcessError("must be called from a process of the simulation", f"b_transport on {self.name}")
        payload.response = INCOMPLETE
        start_ps = env._now
        state = STARVED if payload.command is READ else BLOCKED
        account = process.account
        before, because = account.state, account.reason
        account.switch(state, reason or self._name)
        try:
            if link.target.b_transport is None:
                yield from link.blocking(payload)
            else:
                yield from link.target.b_transport(payload)
        finally:
            account.switch(before, because)
        if payload.response is INCOMPLETE:
            raise ProtocolError("target left the response incomplete", link.name, str(payload.command))
        if self.observers:
            link.report(payload, start_ps, env._now)

    def nb_transport_fw(self, payload: Payload, phase: Phase, delay_ps: int = 0) -> Reply:
        """Send BEGIN_REQ or END_RESP to the target; the phase takes effect after `delay_ps`.

        Raises ProtocolError if the phase or the target's answer is out of order.
        """
        if self.nb_transport_bw is None:
            raise ElaborationError("non-blocking initiator has no nb_transport_bw", self.name)
        if phase is Phase.BEGIN_REQ:
            payload.response = INCOMPLETE
        return self.link.forward(payload, phase, delay_ps)

    def transport_dbg(self, payload: Payload) -> int:
        """Move the data at once, outside of time; return the bytes moved (0 if the target offers no debug)."""
        debug = self.link.target.transport_dbg
        return 0 if debug is None else debug(payload)


class Link:
    """One binding of an initiator to a target: phase checker, adapters, and the observers' news."""

    def __init__(self, initiator: InitiatorSocket, target: TargetSocket) -> None:
        self.initiator = initiator
        self.target = target
        self.name = f"{initiator.name} -> {target.name}"
        self.simulation = initiator.simulation
        self.checker = PhaseChecker(self.name)
        self._starts_ps: dict[Payload, int] = {}
        self._caller: BlockingCaller | None = None
        self._server: BlockingServer | None = None

    def blocking(self, payload: Payload) -> Steps:
        """Carry out a blocking call, through the adapter if the target is non-blocking only."""
        if self.target.b_transport is not None:
            yield from self.target.b_transport(payload)
            return
        if self._caller is None:
            self._caller = BlockingCaller(self)
        yield from self._caller.transport(payload)

    def forward(self, payload: Payload, phase: Phase, delay_ps: int) -> Reply:
        """Take a phase to the target, through the adapter if the target is blocking only."""
        whole_ps(delay_ps, f"delay on {self.name}")
        self.checker.call(payload, phase, FORWARD, "forward")
        if phase is Phase.BEGIN_REQ:
            self._starts_ps[payload] = self.simulation.now_ps + delay_ps
        if self.target.nb_transport_fw is not None:
            reply = self.target.nb_transport_fw(payload, phase, delay_ps)
        else:
            if self._server is None:
                self._server = BlockingServer(self)
            reply = self._server.forward(payload, phase, delay_ps)
        return self._checked(payload, phase, reply)

    def backward(self, payload: Payload, phase: Phase, delay_ps: int) -> Reply:
        """Take a phase to the initiator, or to the adapter that stands for it."""
        whole_ps(delay_ps, f"delay on {self.name}")
        self.checker.call(payload, phase, BACKWARD, "backward")
        if self._caller is not None and self._caller.owns(payload):
            reply = self._caller.backward(payload, phase, delay_ps)
        else:
            receiver = cast(NonBlockingTransport, self.initiator.nb_transport_bw)  # it has sent BEGIN_REQ
            reply = receiver(payload, phase, delay_ps)
        return self._checked(payload, phase, reply)

    def report(self, payload: Payload, start_ps: int, end_ps: int) -> None:
        """Tell the observers of a transaction that is over."""
        for observer in self.initiator.observers:
            observer(self.initiator, self.target, payload, start_ps, end_ps)

    def _checked(self, payload: Payload, sent: Phase, reply: Reply) -> Reply:
        if self.checker.reply(payload, sent, reply):
            start_ps = self._starts_ps.pop(payload)
            if self._caller is None or not self._caller.owns(payload):
                self.report(payload, start_ps, self.simulation.now_ps + reply.delay_ps)
        return reply
