"""Blocking and non-blocking transport, the adapters between them, and the order of phases."""

from itertools import permutations

import pytest

from tlm.kernel import (
    Deadlock,
    ElaborationError,
    ProcessError,
    ProtocolError,
    Simulation,
    State,
    TimeValueError,
    TransportError,
)
from tlm.kernel.payload import Command, Payload, Phase, Reply, Response, Sync
from tlm.kernel.socket import InitiatorSocket, TargetSocket


def read(address=0, length=8, stream="weights"):
    return Payload(Command.READ, address, length, stream)


class Memory:
    """A target with `b_transport` only: `latency_ps` per transaction, and bytes that can be looked at."""

    def __init__(self, simulation, latency_ps=10, name="memory"):
        self.simulation, self.latency_ps = simulation, latency_ps
        self.bytes = bytearray(64)
        self.socket = TargetSocket(name, simulation, self.b_transport, transport_dbg=self.transport_dbg)

    def b_transport(self, payload):
        yield self.simulation.timeout(self.latency_ps)
        self.transport_dbg(payload)
        payload.response = Response.OK

    def transport_dbg(self, payload):
        if payload.data is None:
            return 0
        place = slice(payload.address, payload.end_address)
        if payload.command is Command.WRITE:
            self.bytes[place] = payload.data
        else:
            payload.data[:] = self.bytes[place]
        return payload.length


class PhasedMemory:
    """A target with `nb_transport_fw` only; `script` maps BEGIN_REQ to how it answers."""

    def __init__(self, simulation, style="four phases", accept_ps=2, latency_ps=10):
        self.simulation, self.style = simulation, style
        self.accept_ps, self.latency_ps = accept_ps, latency_ps
        self.socket = TargetSocket("phased", simulation, nb_transport_fw=self.nb_transport_fw)
        self.ended = []

    def nb_transport_fw(self, payload, phase, delay_ps):
        if phase is Phase.END_RESP:
            self.ended.append(self.simulation.now_ps + delay_ps)
            return Reply(Sync.COMPLETED, phase, 0)
        payload.response = Response.OK
        if self.style == "completes at once":
            return Reply(Sync.COMPLETED, phase, self.latency_ps)
        self.simulation.process(lambda process: self.respond(payload, delay_ps), f"respond{id(payload)}")
        if self.style == "answers END_REQ":
            return Reply(Sync.UPDATED, Phase.END_REQ, self.accept_ps)
        return Reply(Sync.ACCEPTED, phase, delay_ps)

    def respond(self, payload, delay_ps):
        yield self.simulation.timeout(delay_ps + self.accept_ps)
        if self.style == "four phases":
            self.socket.nb_transport_bw(payload, Phase.END_REQ)
        yield self.simulation.timeout(self.latency_ps - self.accept_ps - 1)
        self.socket.nb_transport_bw(payload, Phase.BEGIN_RESP, 1)


def bound(simulation, target, nb_transport_bw=None, name="initiator"):
    socket = InitiatorSocket(name, simulation, nb_transport_bw)
    socket.bind(target)
    return socket


def test_blocking_transport_moves_data_and_takes_the_targets_time() -> None:
    simulation = Simulation()
    memory = Memory(simulation)
    socket = bound(simulation, memory.socket)

    def body(process):
        yield from process.work(5)
        write = Payload(Command.WRITE, 4, 3, "weights", bytearray(b"abc"))
        yield from socket.b_transport(write)
        write.require_ok()
        back = Payload(Command.READ, 4, 3, "weights", bytearray(3))
        yield from socket.b_transport(back, "DRAM read")
        assert back.data == b"abc"

    account = simulation.process(body).account
    assert simulation.run() == 25
    assert account.totals_ps() == {
        (State.BUSY, ""): 5,
        (State.BLOCKED, "initiator"): 10,
        (State.STARVED, "DRAM read"): 10,
    }


def test_debug_transport_takes_no_time() -> None:
    simulation = Simulation()
    socket = bound(simulation, Memory(simulation).socket)
    assert socket.transport_dbg(Payload(Command.WRITE, 0, 2, data=bytearray(b"hi"))) == 2
    look = Payload(Command.READ, 0, 2, data=bytearray(2))
    assert (socket.transport_dbg(look), look.data, simulation.now_ps) == (2, b"hi", 0)
    silent = bound(simulation, PhasedMemory(simulation).socket, name="other")
    assert silent.transport_dbg(look) == 0


@pytest.mark.parametrize("style", ["four phases", "without END_REQ", "answers END_REQ", "completes at once"])
def test_blocking_initiator_on_a_non_blocking_target(style) -> None:
    simulation = Simulation()
    target = PhasedMemory(simulation, style)
    socket = bound(simulation, target.socket)
    seen = []
    socket.observers.append(lambda i, t, payload, start_ps, end_ps: seen.append((start_ps, end_ps)))

    def body(process):
        for _ in range(2):
            payload = read()
            yield from socket.b_transport(payload)
            payload.require_ok()

    simulation.process(body)
    assert simulation.run() == 20
    assert seen == [(0, 10), (10, 20)]
    assert target.ended == ([] if style == "completes at once" else [10, 20])


def test_requests_of_several_processes_on_one_binding_overlap_but_exclude_each_other() -> None:
    simulation = Simulation()
    socket = bound(simulation, PhasedMemory(simulation).socket)
    seen = {}

    def body(name):
        def run(process):
            yield from socket.b_transport(read())
            seen[name] = simulation.now_ps

        return run

    for name in ("a", "b", "c"):
        simulation.process(body(name), name)
    simulation.run()
    assert seen == {"a": 10, "b": 12, "c": 14}  # END_REQ every 2 ps, 10 ps each


class PhasedInitiator:
    """Sends one BEGIN_REQ after the other as soon as END_REQ or BEGIN_RESP allows."""

    def __init__(self, simulation, count, end_immediately):
        self.simulation, self.count, self.end_immediately = simulation, count, end_immediately
        self.socket = InitiatorSocket("phased_initiator", simulation, self.nb_transport_bw)
        self.log = []
        self.event = simulation.event()

    def nb_transport_bw(self, payload, phase, delay_ps):
        self.log.append((phase, self.simulation.now_ps))
        if phase is Phase.END_REQ:
            self.event.succeed()
            return Reply(Sync.ACCEPTED, phase, delay_ps)
        if self.end_immediately:
            return Reply(Sync.UPDATED, Phase.END_RESP, 0)
        self.simulation.process(lambda process: self.end(payload), f"end{id(payload)}")
        return Reply(Sync.ACCEPTED, phase, delay_ps)

    def end(self, payload):
        yield self.simulation.timeout(1)
        self.socket.nb_transport_fw(payload, Phase.END_RESP, 1)

    def run(self, process):
        for _ in range(self.count):
            self.event = self.simulation.event()
            self.socket.nb_transport_fw(read(), Phase.BEGIN_REQ, 4)
            yield self.event


@pytest.mark.parametrize("end_immediately", [True, False])
def test_non_blocking_initiator_on_a_blocking_target(end_immediately) -> None:
    simulation = Simulation()
    initiator = PhasedInitiator(simulation, 2, end_immediately)
    initiator.socket.bind(Memory(simulation).socket)
    seen = []
    initiator.socket.observers.append(lambda i, t, payload, start_ps, end_ps: seen.append((start_ps, end_ps)))
    simulation.process(initiator.run)
    simulation.run()
    pause_ps = 0 if end_immediately else 2  # END_RESP 1 ps after BEGIN_RESP, with another 1 ps of delay
    assert initiator.log == [
        (Phase.END_REQ, 4),
        (Phase.BEGIN_RESP, 14),
        (Phase.END_REQ, 14 + pause_ps),
        (Phase.BEGIN_RESP, 24 + pause_ps),
    ]
    assert seen == [(4, 14 + pause_ps), (8, 24 + 2 * pause_ps)]


def test_deadlock_in_a_target_that_never_answers() -> None:
    simulation = Simulation()
    target = TargetSocket("mute", simulation, nb_transport_fw=lambda p, phase, d: Reply(Sync.ACCEPTED, phase, d))
    socket = bound(simulation, target)

    def body(name):
        def run(process):
            yield from socket.b_transport(read())

        return run

    for name in ("a", "b"):
        simulation.process(body(name), name)
    with pytest.raises(Deadlock) as caught:
        simulation.run()
    assert caught.value.waits == (
        "a waits for END_REQ on initiator -> mute",
        "b waits for its turn to request on initiator -> mute",
    )


def phased_pair():
    """A bound pair whose target accepts everything, for sending phases by hand."""
    simulation = Simulation()
    target = TargetSocket("target", simulation, nb_transport_fw=lambda p, phase, d: Reply(Sync.ACCEPTED, phase, d))
    accept = lambda p, phase, d: Reply(Sync.ACCEPTED, phase, d)  # noqa: E731
    return bound(simulation, target, accept), target


LEGAL = {
    (Phase.BEGIN_REQ, Phase.END_REQ, Phase.BEGIN_RESP, Phase.END_RESP),
    (Phase.BEGIN_REQ, Phase.BEGIN_RESP, Phase.END_RESP),
}


@pytest.mark.parametrize("order", [o for n in (1, 2, 3, 4) for o in permutations(Phase, n)], ids="-".join)
def test_only_the_legal_orders_of_phases_pass(order) -> None:
    initiator, target = phased_pair()
    payload = read()

    def send():
        for phase in order:
            if phase in (Phase.BEGIN_REQ, Phase.END_RESP):
                initiator.nb_transport_fw(payload, phase)
            else:
                payload.response = Response.OK
                target.nb_transport_bw(payload, phase)

    if any(legal[: len(order)] == order for legal in LEGAL):
        send()
    else:
        with pytest.raises(ProtocolError):
            send()


def test_a_payload_can_be_used_again_when_its_transaction_is_over() -> None:
    initiator, target = phased_pair()
    payload = read()
    for _ in range(2):
        initiator.nb_transport_fw(payload, Phase.BEGIN_REQ)
        payload.response = Response.OK
        target.nb_transport_bw(payload, Phase.BEGIN_RESP)
        initiator.nb_transport_fw(payload, Phase.END_RESP)


def begin(initiator, phase=Phase.BEGIN_REQ):
    payload = read()
    initiator.nb_transport_fw(payload, phase)
    return payload


def second_response(initiator, target):
    payloads = []
    for _ in range(2):
        payloads.append(begin(initiator))
        target.nb_transport_bw(payloads[-1], Phase.END_REQ)
    for payload in payloads:
        payload.response = Response.OK
        target.nb_transport_bw(payload, Phase.BEGIN_RESP)


def twice(initiator, target):
    begin(initiator)
    begin(initiator)


def answered(initiator, target, sync, phase, response=Response.OK):
    def answer(payload, sent, delay_ps):
        payload.response = response
        return Reply(sync, phase, delay_ps)

    target.nb_transport_fw = answer
    begin(initiator)


def completed_end_req(initiator, target):
    initiator.nb_transport_bw = lambda p, phase, d: Reply(Sync.COMPLETED, phase, d)
    target.nb_transport_bw(begin(initiator), Phase.END_REQ)


LINK = "initiator -> target: "


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda i, t: begin(i, Phase.END_REQ), LINK + "phase does not go forward, got 'END_REQ', allowed: BEGIN_REQ, "),
        (lambda i, t: begin(i, Phase.END_RESP), LINK + "phase out of order after a transaction that has not begun"),
        (twice, LINK + "second request before END_REQ of the first, got 'BEGIN_REQ'"),
        (lambda i, t: t.nb_transport_bw(begin(i), Phase.END_RESP), LINK + "phase does not go backward"),
        (lambda i, t: t.nb_transport_bw(read(), Phase.END_REQ), "target: no initiator has begun this transaction"),
        (lambda i, t: t.nb_transport_bw(begin(i), Phase.BEGIN_RESP), LINK + "target left the response incomplete"),
        (second_response, LINK + "second response before END_RESP of the first"),
        (
            lambda i, t: answered(i, t, Sync.UPDATED, Phase.END_RESP),
            LINK + "answer to BEGIN_REQ moves to a phase of the other side, got 'END_RESP', allowed: END_REQ, BEGIN_RE",
        ),
        (lambda i, t: answered(i, t, Sync.ACCEPTED, Phase.END_REQ), LINK + "answer ACCEPTED changed the phase"),
        (
            lambda i, t: answered(i, t, Sync.COMPLETED, Phase.BEGIN_REQ, Response.INCOMPLETE),
            LINK + "target left the response incomplete, got 'read'",
        ),
        (completed_end_req, LINK + "transaction completed before its response, got 'END_REQ'"),
    ],
)
def test_words_of_protocol_errors(act, words) -> None:
    with pytest.raises(ProtocolError) as caught:
        act(*phased_pair())
    assert str(caught.value).startswith(words)


def test_a_blocking_target_must_set_the_response() -> None:
    simulation = Simulation()

    def forget(payload):
        yield simulation.timeout(1)

    socket = bound(simulation, TargetSocket("t", simulation, forget))

    def body(process):
        yield from socket.b_transport(read())

    simulation.process(body)
    with pytest.raises(ProtocolError, match=r"^initiator -> t: target left the response incomplete, got 'read'"):
        simulation.run()


def test_words_of_other_errors() -> None:
    simulation = Simulation()
    memory = Memory(simulation)
    socket = InitiatorSocket("loose", simulation)
    with pytest.raises(ElaborationError, match=r"^loose: initiator socket is not bound"):
        socket.transport_dbg(read())
    socket.bind(memory.socket)
    with pytest.raises(ElaborationError, match=r"^loose: initiator socket is bound twice, got 'memory'"):
        socket.bind(memory.socket)
    with pytest.raises(ElaborationError, match=r"^loose: non-blocking initiator has no nb_transport_bw"):
        socket.nb_transport_fw(read(), Phase.BEGIN_REQ)
    with pytest.raises(ElaborationError, match=r"^t: target has neither b_transport nor nb_transport_fw"):
        TargetSocket("t", simulation)
    with pytest.raises(ProcessError, match=r"^b_transport on loose: must be called from a process"):
        next(socket.b_transport(read()))
    initiator, _ = phased_pair()
    with pytest.raises(TimeValueError, match=r"^delay on initiator -> target: time is negative, got -1"):
        initiator.nb_transport_fw(read(), Phase.BEGIN_REQ, -1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: read(address=-1), "payload: address is negative, got -1, allowed: at least 0"),
        (lambda: read(length=0), "payload: length is too small, got 0, allowed: at least 1 byte"),
        (lambda: read(16).require_ok(), "weights: read of 8 bytes at 0x10 failed, got 'incomplete', allowed: ok"),
    ],
)
def test_words_of_transport_errors(call, words) -> None:
    with pytest.raises(TransportError, match=f"^{words}"):
        call()
