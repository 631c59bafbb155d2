"""Bridges between the blocking and the non-blocking form, made by a binding where its two sides differ."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from simpy.events import NORMAL, Event

from tlm.kernel.channel import TokenChannel
from tlm.kernel.module import Module
from tlm.kernel.payload import Payload, Phase, Reply, Sync
from tlm.kernel.process import Process, Steps, Wait

if TYPE_CHECKING:
    from tlm.kernel.socket import BlockingTransport, Link


def _succeed_after(event: Event, delay_ps: int) -> None:
    """Trigger `event` `delay_ps` from now."""
    event._ok = True
    event._value = None
    event.env.schedule(event, NORMAL, delay_ps)


class BlockingServer:
    """Serves a non-blocking initiator by calling a target's `b_transport`, one transaction at a time.

    END_REQ goes back when the target begins to serve, so that a busy target holds up the next request.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        module = Module(f"nb_to_b_of_{link.initiator.base_name}_{len(link.target._links)}", link.target)
        self._requests: TokenChannel[tuple[Payload, int]] = TokenChannel("requests", module, 1)
        self._acknowledged: Event = module.simulation.event()
        module.process(self._serve, "serve", daemon=True)

    def forward(self, payload: Payload, phase: Phase, delay_ps: int) -> Reply:
        """Accept BEGIN_REQ or END_RESP from the initiator."""
        if phase is Phase.BEGIN_REQ:
            self._requests.try_put((payload, self._link.simulation.now_ps + delay_ps))
        else:
            _succeed_after(self._acknowledged, delay_ps)
        return Reply(Sync.ACCEPTED, phase, delay_ps)

    def _serve(self, process: Process) -> Steps:
        link = self._link
        simulation = link.simulation
        target_transport = cast("BlockingTransport", link.target.b_transport)  # else no server is made
        while True:
            payload, begin_ps = yield from self._requests.get()
            if begin_ps > simulation.now_ps:
                yield simulation.timeout(begin_ps - simulation.now_ps)
            link.backward(payload, Phase.END_REQ, 0)
            yield from target_transport(payload)
            self._acknowledged = simulation.event()
            reply = link.backward(payload, Phase.BEGIN_RESP, 0)
            if reply.sync is Sync.ACCEPTED:
                yield self._acknowledged
            else:
                yield simulation.timeout(reply.delay_ps)


class BlockingCaller:
    """Carries a blocking call to a target that is non-blocking only: all four phases, END_RESP at once."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._env = link.simulation.env
        self._answers: dict[Payload, tuple[Wait, Wait]] = {}
        self._requesting = False
        self._queue: deque[Wait] = deque()

    def owns(self, payload: Payload) -> bool:
        """Whether the transaction was begun here, not by the initiator itself."""
        return payload in self._answers

    def transport(self, payload: Payload) -> Steps:
        """Send BEGIN_REQ, wait for the response, send END_RESP."""
        yield from self._begin_request()
        request_over = Wait(self._env, "END_REQ", self._describe)
        response = Wait(self._env, "BEGIN_RESP", self._describe)
        self._answers[payload] = (request_over, response)
        account = request_over.process.account
        reply = self._link.forward(payload, Phase.BEGIN_REQ, 0)
        if reply.sync is Sync.COMPLETED:
            self._end_request()
            yield self._link.simulation.timeout(reply.delay_ps)
        else:
            if reply.sync is Sync.UPDATED:
                self._note(payload, reply.phase, reply.delay_ps)
            yield from request_over.pause(account.state, account.reason)
            self._end_request()
            yield from response.pause(account.state, account.reason)
            self._link.forward(payload, Phase.END_RESP, 0)
        del self._answers[payload]

    def _begin_request(self) -> Steps:
        """Wait until no other request is outstanding on the binding (exclusion rule)."""
        if self._requesting:
            turn = Wait(self._env, "its turn to request", self._describe)
            self._queue.append(turn)
            yield from turn.pause(turn.process.account.state, turn.process.account.reason)
        self._requesting = True

    def _end_request(self) -> None:
        if self._queue:
            self._queue.popleft().succeed()
        else:
            self._requesting = False

    def backward(self, payload: Payload, phase: Phase, delay_ps: int) -> Reply:
        """Take END_REQ or BEGIN_RESP from the target."""
        self._note(payload, phase, delay_ps)
        return Reply(Sync.ACCEPTED, phase, delay_ps)

    def _note(self, payload: Payload, phase: Phase, delay_ps: int) -> None:
        request_over, response = self._answers[payload]
        if not request_over.triggered:
            _succeed_after(request_over, delay_ps)
        if phase is Phase.BEGIN_RESP:
            _succeed_after(response, delay_ps)

    def _describe(self, wait: Wait) -> str:
        return f"{wait.operation} on {self._link.name}"
