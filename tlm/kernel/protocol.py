"""The order of phases in a non-blocking transaction, checked on every binding of two sockets.

The base protocol of IEEE 1666-2011, clause 15.2: BEGIN_REQ and END_RESP go forward, END_REQ and BEGIN_RESP
backward; END_REQ may be left out; one request and one response at a time per binding (exclusion rules).
"""

from __future__ import annotations

from tlm.kernel.errors import ProtocolError
from tlm.kernel.payload import Payload, Phase, Reply, Response, Sync

_BEFORE: dict[Phase, tuple[Phase | None, ...]] = {
    Phase.BEGIN_REQ: (None,),
    Phase.END_REQ: (Phase.BEGIN_REQ,),
    Phase.BEGIN_RESP: (Phase.BEGIN_REQ, Phase.END_REQ),
    Phase.END_RESP: (Phase.BEGIN_RESP,),
}
"""Phases that a phase may follow; None is a transaction that has not begun."""

FORWARD = (Phase.BEGIN_REQ, Phase.END_RESP)
BACKWARD = (Phase.END_REQ, Phase.BEGIN_RESP)


class PhaseChecker:
    """Follows every transaction on one binding; any phase or answer out of order is a ProtocolError."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._phases: dict[Payload, Phase] = {}

    def in_flight(self, payload: Payload) -> bool:
        """Whether the transaction has begun and not ended."""
        return payload in self._phases

    def call(self, payload: Payload, phase: Phase, allowed: tuple[Phase, ...], way: str) -> None:
        """Check a phase that one side sends by a call, `way` being "forward" or "backward"."""
        if phase not in allowed:
            raise ProtocolError(f"phase does not go {way}", self._where, str(phase), ", ".join(allowed))
        self._enter(payload, phase)

    def reply(self, payload: Payload, sent: Phase, reply: Reply) -> bool:
        """Check the answer to a call that sent `sent`; return whether the transaction is over."""
        if reply.sync is Sync.UPDATED:
            answering = BACKWARD if sent in FORWARD else FORWARD
            if reply.phase not in answering:
                raise ProtocolError(
                    f"answer to {sent} moves to a phase of the other side",
                    self._where,
                    str(reply.phase),
                    ", ".join(answering),
                )
            self._enter(payload, reply.phase)
        elif reply.sync is Sync.COMPLETED:
            if sent is Phase.END_REQ:
                raise ProtocolError("transaction completed before its response", self._where, str(sent))
            self._check_response(payload)
            del self._phases[payload]
            return True
        elif reply.phase is not sent:
            raise ProtocolError("answer ACCEPTED changed the phase", self._where, str(reply.phase), str(sent))
        if self._phases[payload] is Phase.END_RESP:
            del self._phases[payload]
            return True
        return False

    def _enter(self, payload: Payload, phase: Phase) -> None:
        last = self._phases.get(payload)
        if last not in _BEFORE[phase]:
            after = "a transaction that has not begun" if last is None else str(last)
            raise ProtocolError(f"phase out of order after {after}", self._where, str(phase))
        if phase is Phase.BEGIN_REQ and Phase.BEGIN_REQ in self._phases.values():
            raise ProtocolError("second request before END_REQ of the first", self._where, str(phase))
        if phase is Phase.BEGIN_RESP:
            if Phase.BEGIN_RESP in self._phases.values():
                raise ProtocolError("second response before END_RESP of the first", self._where, str(phase))
            self._check_response(payload)
        self._phases[payload] = phase

    def _check_response(self, payload: Payload) -> None:
        if payload.response is Response.INCOMPLETE:
            raise ProtocolError("target left the response incomplete", self._where, str(payload.command))
