"""The flat DRAM: shares of the channels, closed forms of latency and bandwidth, counters, and addresses it lacks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlm.kernel import Simulation, TransportError
from tlm.kernel.payload import Command, Payload
from tlm.kernel.socket import InitiatorSocket
from tlm.memory.dram import ChannelUse
from tlm.memory.flat_dram import FlatDram, FlatTiming, bytes_by_channel

TIMING = FlatTiming(channels=4, channel_bytes_per_us=16_000, latency_ps=30_000, interleave_bytes=64)
"""Four channels of 16 GB/s: 64 bytes take 4,000 ps of one channel."""


class Bench:
    """A DRAM of 1 MiB and processes that send it one transaction after another."""

    def __init__(self, simulation: Simulation, timing: FlatTiming = TIMING) -> None:
        self.simulation = simulation
        self.dram = FlatDram("dram", simulation, timing, 2**20)
        self.ends: list[int] = []
        self._initiators = 0

    def send(self, *transactions: tuple[int, int], start_ps: int = 0, command: Command = Command.READ) -> None:
        """Send (address, length) in turn from one initiator, beginning at `start_ps`."""
        self._initiators += 1
        socket = InitiatorSocket(f"initiator{self._initiators}", self.simulation)
        socket.bind(self.dram.socket)

        def run(process):  # type: ignore[no-untyped-def]
            yield from process.work(start_ps)
            for address, length in transactions:
                payload = Payload(command, address, length, "spikes")
                yield from socket.b_transport(payload)
                payload.require_ok()
                self.ends.append(self.simulation.now_ps)

        self.simulation.process(run, f"sender{self._initiators}")


@pytest.fixture
def bench(simulation: Simulation) -> Bench:
    return Bench(simulation)


timings = st.builds(FlatTiming, st.integers(1, 5), st.just(1), st.just(0), st.integers(1, 9))


@given(st.integers(0, 200), st.integers(1, 200), timings)
def test_every_byte_is_on_the_channel_of_its_block(address: int, length: int, timing: FlatTiming) -> None:
    owners = Counter(byte // timing.interleave_bytes % timing.channels for byte in range(address, address + length))
    assert bytes_by_channel(address, length, timing) == [owners[channel] for channel in range(timing.channels)]


def test_occupancy_is_rounded_up_to_whole_picoseconds() -> None:
    timing = FlatTiming(2, 3000, 0, 16)
    assert [timing.occupancy_ps(length) for length in (1, 2, 3, 9)] == [334, 667, 1000, 3000]
    assert timing.peak_bytes_per_us == 6000


def test_one_access_takes_its_slot_and_the_latency(bench: Bench) -> None:
    bench.send((0, 64))
    assert bench.simulation.run() == 4_000 + 30_000


def test_an_access_over_all_channels_ends_with_the_largest_share(bench: Bench) -> None:
    bench.send((0, 4 * 64 + 32))
    assert bench.simulation.run() == 6_000 + 30_000
    assert bench.dram.use() == [ChannelUse(ps) for ps in [6_000, 4_000, 4_000, 4_000]]


def test_accesses_queue_on_a_channel_and_their_latencies_overlap(bench: Bench) -> None:
    for _ in range(3):
        bench.send((0, 64))
    bench.simulation.run()
    assert bench.ends == [34_000, 38_000, 42_000]


def test_channels_do_not_wait_for_each_other(bench: Bench) -> None:
    for channel in range(4):
        bench.send((64 * channel, 64))
    bench.simulation.run()
    assert bench.ends == [34_000] * 4


@pytest.mark.parametrize(("arrival_ps", "end_ps"), [(3_999, 38_000), (4_000, 38_000), (4_001, 38_001)])
def test_a_channel_is_blocked_one_ps_before_its_slot_ends_and_free_at_its_end(
    bench: Bench, arrival_ps: int, end_ps: int
) -> None:
    bench.send((0, 64))
    bench.send((256, 64), start_ps=arrival_ps)
    bench.simulation.run()
    assert bench.ends == [34_000, end_ps]


def test_a_stream_of_large_accesses_reaches_the_peak_bandwidth(bench: Bench) -> None:
    for first in range(8):
        bench.send(*((4096 * (first + 8 * i), 4096) for i in range(16)))
    end_ps = bench.simulation.run()
    moved = 8 * 16 * 4096
    assert end_ps - 30_000 == moved * 10**6 // TIMING.peak_bytes_per_us
    assert len({use.busy_ps for use in bench.dram.use()}) == 1


def test_one_initiator_alone_pays_the_latency_every_time(bench: Bench) -> None:
    bench.send(*[(0, 64)] * 5)
    assert bench.simulation.run() == 5 * 34_000


def test_bytes_are_counted_by_stream_and_command(bench: Bench) -> None:
    bench.send((0, 100), (7, 1))
    bench.send((64, 3), command=Command.WRITE)
    bench.simulation.run()
    assert bench.dram.bytes_by_stream == {("spikes", Command.READ): 101, ("spikes", Command.WRITE): 3}


def test_an_access_past_the_end_is_an_address_error_and_counts_nothing(bench: Bench) -> None:
    bench.send((2**20 - 4, 4))
    bench.simulation.run()
    bench.send((2**20 - 4, 5))
    with pytest.raises(
        TransportError, match=r"^spikes: read of 5 bytes at 0xffffc failed, got 'address error', allowed: ok$"
    ):
        bench.simulation.run()
    assert bench.dram.bytes_by_stream["spikes", Command.READ] == 4


def test_bytes_move_as_they_are_asked_for_and_nothing_is_left_to_drain(bench: Bench) -> None:
    bench.send((3, 70), command=Command.WRITE)
    bench.simulation.run()
    assert bench.dram.burst_bytes_by_stream == {("spikes", Command.WRITE): 70}
    assert list(bench.dram.drain()) == []
    assert bench.dram.peak_bytes_per_us == 64_000


def test_a_watched_channel_is_idle_and_occupied_in_turn() -> None:
    bench = Bench(Simulation())
    bench.dram.watch()
    bench.send((0, 64), (0, 64), start_ps=1000)  # the second one 30,000 ps after the first one's slot
    bench.send((0, 128), start_ps=2000)  # behind the first one, and on the next channel
    bench.simulation.run()
    first, second, *unused = bench.dram.loads()
    assert first.times_ps.tolist() == [0, 1000, 9000, 35000, 39000]
    assert first.busy.tolist() == [0, 1, 0, 1]
    assert second.times_ps.tolist() == [0, 2000, 6000]
    assert [load.times_ps.tolist() for load in unused] == [[0], [0]]
    assert first.reads_queued is first.writes_queued is None


def test_a_channel_that_nobody_watches_keeps_nothing() -> None:
    assert FlatDram("dram", Simulation(), TIMING, 2**20).loads() == []
