"""Address decoding, and maps that cannot be."""

import pytest

from tests.kernel.test_socket import Memory, bound
from tlm.kernel import AddressMapError, Simulation
from tlm.kernel.payload import Command, Payload, Response
from tlm.kernel.router import Region, Router

REGIONS = (Region("high", 0x40, 0x40), Region("low", 0, 0x40))


def routed():
    simulation = Simulation()
    router = Router("router", simulation, REGIONS)
    memories = {name: Memory(simulation, latency, name) for name, latency in (("low", 10), ("high", 20))}
    for name, output in router.outputs.items():
        output.bind(memories[name].socket)
    return simulation, bound(simulation, router.input), memories


@pytest.mark.parametrize(
    ("address", "length", "response", "end_ps"),
    [
        (0, 0x40, Response.OK, 10),
        (0x3F, 1, Response.OK, 10),
        (0x3F, 2, Response.BURST_ERROR, 0),
        (0x40, 0x40, Response.OK, 20),
        (0x7F, 2, Response.ADDRESS_ERROR, 0),
        (0x80, 1, Response.ADDRESS_ERROR, 0),
    ],
)
def test_decoding_at_the_edges(address, length, response, end_ps) -> None:
    simulation, socket, _ = routed()
    payload = Payload(Command.READ, address, length)

    def body(process):
        yield from socket.b_transport(payload)

    simulation.process(body)
    assert (simulation.run(), payload.response) == (end_ps, response)


def test_addresses_below_the_map_are_errors() -> None:
    simulation = Simulation()
    router = Router("router", simulation, [Region("only", 0x10, 0x10)])
    payload = Payload(Command.READ, 0xF, 1)
    assert router.decode(payload) is None
    assert payload.response is Response.ADDRESS_ERROR


def test_debug_transport_is_routed() -> None:
    _, socket, memories = routed()
    assert socket.transport_dbg(Payload(Command.WRITE, 2, 2, data=bytearray(b"hi"))) == 2
    assert memories["low"].bytes[2:4] == b"hi"
    assert socket.transport_dbg(Payload(Command.WRITE, 0x80, 2, data=bytearray(b"hi"))) == 0


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ((), "r: address map is empty"),
        (
            (Region("a", 0, 9), Region("b", 8, 8)),
            "r: regions overlap, got 'a [0x0, 0x9) and b [0x8, 0x10)', allowed: disjoint regions",
        ),
        (
            (Region("b", 8, 8), Region("a", 0, 7)),
            "r: hole between regions, got 'a [0x0, 0x7) and b [0x8, 0x10)', allowed: no holes",
        ),
        ((Region("a", 0, 0),), "r: region is empty or negative, got 'a [0x0, 0x0)', allowed: at least 1 byte"),
    ],
)
def test_words_of_errors(regions, words) -> None:
    with pytest.raises(AddressMapError) as caught:
        Router("r", Simulation(), regions)
    assert str(caught.value).startswith(words)
