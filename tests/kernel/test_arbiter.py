"""Round-robin and static priority; simultaneous requests do not depend on the order of creation."""

from itertools import permutations

import pytest

from tests.kernel.test_socket import Memory, read
from tlm.kernel import CapacityError, Deadlock, Simulation
from tlm.kernel.arbiter import Arbiter, RoundRobin, StaticPriority
from tlm.kernel.payload import Command, Payload
from tlm.kernel.socket import InitiatorSocket, TargetSocket


def served(policy, order, starts_ps=(0, 0, 0), count=2, outstanding=1):
    """Each of three initiators makes `count` transactions of 10 ps; return (port, end) in order of ends."""
    simulation = Simulation()
    arbiter = Arbiter("arbiter", simulation, 3, policy, outstanding)
    arbiter.output.bind(Memory(simulation).socket)
    log = []

    def initiator(port):
        socket = InitiatorSocket(f"i{port}", simulation)
        socket.bind(arbiter.inputs[port])

        def body(process):
            yield from process.work(starts_ps[port])
            for _ in range(count):
                yield from socket.b_transport(read())
                log.append((port, simulation.now_ps))

        return body

    for port in order:
        simulation.process(initiator(port), f"p{port}")
    simulation.run()
    assert arbiter.grant_counts == [count] * 3
    return log


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_round_robin_takes_turns_whatever_the_order_of_creation(order) -> None:
    assert served(RoundRobin(), order) == [(n % 3, 10 * (n + 1)) for n in range(6)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_static_priority_serves_the_lowest_port(order) -> None:
    ports = [0, 0, 1, 1, 2, 2]
    assert served(StaticPriority(), order) == [(port, 10 * (n + 1)) for n, port in enumerate(ports)]


def test_a_transaction_in_the_target_is_not_interrupted() -> None:
    assert served(StaticPriority(), (0, 1, 2), (5, 9, 0), 1) == [(2, 10), (0, 20), (1, 30)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_several_transactions_inside_the_target(order) -> None:
    ends = served(RoundRobin(), order, outstanding=2)
    assert sorted(ends, key=lambda end: (end[1], end[0])) == [(0, 10), (1, 10), (0, 20), (2, 20), (1, 30), (2, 30)]


def test_requests_of_one_port_keep_their_order_and_debug_passes() -> None:
    simulation = Simulation()
    arbiter = Arbiter("arbiter", simulation, 1)
    memory = Memory(simulation)
    arbiter.output.bind(memory.socket)
    socket = InitiatorSocket("i", simulation)
    socket.bind(arbiter.inputs[0])
    log = []

    def body(name):
        def run(process):
            yield from socket.b_transport(read())
            log.append(name)

        return run

    for name in "abc":
        simulation.process(body(name), name)
    simulation.run()
    assert log == ["a", "b", "c"]
    assert socket.transport_dbg(Payload(Command.WRITE, 0, 2, data=bytearray(b"hi"))) == 2
    assert memory.bytes[:2] == b"hi"


def test_deadlock_names_the_arbiter() -> None:
    simulation = Simulation()
    arbiter = Arbiter("arbiter", simulation, 2)

    def never(payload):
        yield simulation.event()

    arbiter.output.bind(TargetSocket("t", simulation, never))
    for port in range(2):
        socket = InitiatorSocket(f"i{port}", simulation)
        socket.bind(arbiter.inputs[port])
        simulation.process(lambda process, socket=socket: socket.b_transport(read()), f"p{port}")
    with pytest.raises(Deadlock) as caught:
        simulation.run()
    assert caught.value.waits == (
        "p0 waits for an event",
        "p1 waits for grant of port 1 on arbiter (1 of 1 in flight)",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0,), "a: number of ports is too small, got 0, allowed: at least 1 ports"),
        ((1, None, 0), "a: outstanding is too small, got 0, allowed: at least 1 transactions"),
    ],
)
def test_words_of_errors(arguments, words) -> None:
    with pytest.raises(CapacityError, match=f"^{words}"):
        Arbiter("a", Simulation(), *arguments)
