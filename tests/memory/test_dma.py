"""DMA: chunks, transactions under way, prefetching in order within a window, posted writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tlm.kernel import CapacityError, Clock, Simulation, Watermark
from tlm.kernel.account import State
from tlm.kernel.payload import Command, Payload
from tlm.kernel.process import Steps
from tlm.kernel.socket import TargetSocket
from tlm.memory.buffer import BufferPorts
from tlm.memory.dma import DRAM_READ, DRAM_WRITE, BufferPath, Descriptor, Dma, PostedWrites, Prefetch

ACCESS_PS = 100


class Memory:
    """Answers every transaction after 100 ps, any number at once, and keeps (start, address, length)."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.socket = TargetSocket("memory", simulation, b_transport=self.serve)
        self.seen: list[tuple[int, int, int]] = []
        self.commands: set[Command] = set()

    def serve(self, payload: Payload) -> Iterator[Any]:
        self.seen.append((self.simulation.now_ps, payload.address, payload.length))
        self.commands.add(payload.command)
        yield self.simulation.timeout(ACCESS_PS)
        from tlm.kernel.payload import Response

        payload.response = Response.OK


@pytest.fixture
def memory(simulation: Simulation) -> Memory:
    return Memory(simulation)


@pytest.fixture
def dma(simulation: Simulation, memory: Memory) -> Dma:
    """Chunks of 8 bytes, two under way."""
    return Dma("dma", simulation, memory.socket, 8, 2)


def read(length: int, address: int = 0, **waits: Any) -> Descriptor:
    return Descriptor("spikes", address, length, **waits)


class TestDma:
    def test_a_transfer_is_cut_into_chunks_two_of_them_under_way(
        self, simulation: Simulation, memory: Memory, dma: Dma
    ) -> None:
        simulation.process(lambda process: dma.transfer(Command.READ, read(37, 1000)), "reader")
        assert simulation.run() == 3 * ACCESS_PS
        assert memory.seen == [(0, 1000, 8), (0, 1008, 8), (100, 1016, 8), (100, 1024, 8), (200, 1032, 5)]

    def test_a_transfer_of_whole_chunks_has_no_empty_one(
        self, simulation: Simulation, memory: Memory, dma: Dma
    ) -> None:
        simulation.process(lambda process: dma.transfer(Command.WRITE, read(16)), "writer")
        simulation.run()
        assert [length for _, _, length in memory.seen] == [8, 8]
        assert memory.commands == {Command.WRITE}

    def test_the_caller_waits_starved_for_reads(self, simulation: Simulation, dma: Dma) -> None:
        books = {}

        def reader(process: Any) -> Steps:
            yield from dma.transfer(Command.READ, read(8))
            books.update(process.account.totals_ps())

        simulation.process(reader)
        simulation.run()
        assert books == {(State.STARVED, DRAM_READ): ACCESS_PS}


class TestPath:
    """Transactions also pass the ports of their buffer: eight bytes take 100 ps of DRAM here, and a cycle is 25 ps."""

    @pytest.mark.parametrize(("width", "path_width", "end_ps"), [(8, 8, 100), (1, 8, 200), (8, 1, 200), (8, 2, 100)])
    def test_a_transaction_is_over_when_dram_and_ports_are(
        self, simulation: Simulation, memory: Memory, width: int, path_width: int, end_ps: int
    ) -> None:
        ports = BufferPorts("spikes", simulation, Clock(25), width)
        dma = Dma("dma", simulation, memory.socket, 8, 2, BufferPath({"spikes": ports}, path_width, 25))
        simulation.process(lambda process: dma.transfer(Command.READ, read(8)), "reader")
        assert simulation.run() == end_ps
        assert ports.moved_bytes == 8

    def test_a_stream_without_a_buffer_passes_no_ports(self, simulation: Simulation, memory: Memory) -> None:
        dma = Dma("dma", simulation, memory.socket, 8, 2, BufferPath({}, 1, 10**6))
        simulation.process(lambda process: dma.transfer(Command.WRITE, read(8)), "writer")
        assert simulation.run() == ACCESS_PS


def consume(prefetch: Prefetch, simulation: Simulation, cost_ps: int, times: list[int], consumer: int = 0) -> Any:
    """Body of a process that takes the descriptors in turn and needs each for `cost_ps`."""

    def run(process: Any) -> Steps:
        for number in range(len(prefetch._items)):
            prefetch.release(consumer, number)
            yield from prefetch.loaded.wait_for(number + 1)
            times.append(simulation.now_ps)
            yield from process.work(cost_ps)
        prefetch.release(consumer, len(prefetch._items))

    return run


class TestPrefetch:
    def test_loads_run_ahead_of_the_consumer_by_the_window(
        self, simulation: Simulation, memory: Memory, dma: Dma
    ) -> None:
        prefetch = Prefetch("reads", simulation, dma, [read(8, 8 * i) for i in range(5)], 16)
        times: list[int] = []
        simulation.process(consume(prefetch, simulation, 1000, times), "consumer")
        simulation.run()
        assert times == [100, 1100, 2100, 3100, 4100]
        assert [start for start, _, _ in memory.seen] == [0, 100, 1100, 2100, 3100]
        assert [address for _, address, _ in memory.seen] == [0, 8, 16, 24, 32]

    def test_a_window_of_one_does_not_run_ahead(self, simulation: Simulation, memory: Memory, dma: Dma) -> None:
        prefetch = Prefetch("reads", simulation, dma, [read(8) for _ in range(3)], 8)
        times: list[int] = []
        simulation.process(consume(prefetch, simulation, 1000, times), "consumer")
        simulation.run()
        assert times == [100, 1200, 2300]

    def test_room_is_free_when_the_slowest_consumer_says_so(
        self, simulation: Simulation, memory: Memory, dma: Dma
    ) -> None:
        prefetch = Prefetch("reads", simulation, dma, [read(8) for _ in range(4)], 16, consumers=2)
        fast: list[int] = []
        slow: list[int] = []
        simulation.process(consume(prefetch, simulation, 10, fast, 0), "fast")
        simulation.process(consume(prefetch, simulation, 1000, slow, 1), "slow")
        simulation.run()
        assert fast == [100, 200, 1200, 2200]
        assert slow == [100, 1100, 2100, 3100]

    def test_owned_descriptors_take_no_room(self, simulation: Simulation, memory: Memory, dma: Dma) -> None:
        items = [read(8) for _ in range(5)]
        prefetch = Prefetch("reads", simulation, dma, items, 8, owned=[True, False, True, False, True])
        simulation.process(lambda process: prefetch.loaded.wait_for(3), "wait")
        simulation.process(lambda process: release_at(process, prefetch, 5000, 2), "release")
        simulation.run()
        assert [start for start, _, _ in memory.seen] == [0, 100, 200, 5000, 5100]

    def test_a_read_waits_until_its_data_are_there(self, simulation: Simulation, memory: Memory, dma: Dma) -> None:
        made = Watermark("made", simulation)
        Prefetch("reads", simulation, dma, [read(8, ready=made, level=2), read(8)], 16)
        simulation.process(lambda process: advance_at(process, made, [(300, 1), (700, 2)]), "maker")
        simulation.run()
        assert [start for start, _, _ in memory.seen] == [700, 800]

    def test_the_window_counts_bytes_not_descriptors(self, simulation: Simulation, memory: Memory, dma: Dma) -> None:
        prefetch = Prefetch("reads", simulation, dma, [read(size) for size in (4, 4, 8, 4, 4, 8)], 16)
        simulation.process(lambda process: prefetch.loaded.wait_for(3), "wait")
        simulation.process(lambda process: release_at(process, prefetch, 5000, 1), "release")
        simulation.process(lambda process: release_at(process, prefetch, 6000, 3), "again")
        simulation.run()
        assert [start for start, _, _ in memory.seen] == [0, 100, 200, 5000, 6000, 6100]
        assert prefetch.peak_staged_bytes == 16

    def test_a_descriptor_larger_than_the_window_is_refused(self, simulation: Simulation, dma: Dma) -> None:
        words = r"^reads: descriptor is larger than the staging window, got 9, allowed: at most 8 bytes$"
        with pytest.raises(CapacityError, match=words):
            Prefetch("reads", simulation, dma, [read(9)], 8)
        Prefetch("owned", simulation, dma, [read(9)], 8, owned=[True])

    def test_nothing_is_read_for_empty_descriptors(self, simulation: Simulation, memory: Memory, dma: Dma) -> None:
        prefetch = Prefetch("reads", simulation, dma, [read(0), read(0)], 16)
        assert simulation.run() == 0
        assert (prefetch.loaded.level, memory.seen) == (2, [])


def release_at(process: Any, prefetch: Prefetch, time_ps: int, count: int) -> Steps:
    yield from process.work(time_ps)
    prefetch.release(0, count)


def advance_at(process: Any, mark: Watermark, levels: list[tuple[int, int]]) -> Steps:
    for time_ps, level in levels:
        yield from process.work(time_ps - process.env._now)
        mark.advance(level)


class TestPostedWrites:
    def test_the_producer_does_not_wait_while_the_buffer_has_room(
        self, simulation: Simulation, memory: Memory, dma: Dma
    ) -> None:
        writes = PostedWrites("writes", simulation, dma, 16)
        posted, done = [], []

        def producer(process: Any) -> Steps:
            for address in range(0, 40, 8):
                yield from writes.write(Descriptor("spikes", address, 8))
                posted.append(simulation.now_ps)
            yield from writes.flush()
            done.append(simulation.now_ps)

        simulation.process(producer)
        simulation.run()
        assert posted == [0, 0, 100, 200, 300]
        assert done == [500]
        assert [address for _, address, _ in memory.seen] == [0, 8, 16, 24, 32]
        assert memory.commands == {Command.WRITE}

    @pytest.mark.parametrize(("second", "free_ps"), [(8, 0), (9, 100)])
    def test_room_is_counted_to_the_byte(self, simulation: Simulation, dma: Dma, second: int, free_ps: int) -> None:
        writes = PostedWrites("writes", simulation, dma, 16)
        books = {}

        def producer(process: Any) -> Steps:
            yield from writes.write(Descriptor("spikes", 0, 8))
            yield from writes.write(Descriptor("spikes", 8, second))
            books.update(process.account.totals_ps())

        simulation.process(producer)
        simulation.run()
        assert books == ({(State.BLOCKED, DRAM_WRITE): free_ps} if free_ps else {})

    def test_a_write_larger_than_the_buffer_goes_in_pieces(
        self, simulation: Simulation, memory: Memory, dma: Dma
    ) -> None:
        writes = PostedWrites("writes", simulation, dma, 10)
        simulation.process(lambda process: writes.write(Descriptor("spikes", 0, 25)), "producer")
        simulation.run()
        assert [(address, length) for _, address, length in memory.seen] == [(0, 8), (8, 2), (10, 8), (18, 2), (20, 5)]
        assert writes.written.level == 3

    def test_a_flush_with_nothing_posted_returns_at_once(self, simulation: Simulation, dma: Dma) -> None:
        writes = PostedWrites("writes", simulation, dma, 10)
        simulation.process(lambda process: writes.flush(), "producer")
        assert simulation.run() == 0


class TestWatchedPrefetch:
    def test_bytes_count_from_the_begin_of_a_read_until_all_consumers_are_through(
        self, simulation: Simulation, dma: Dma
    ) -> None:
        items = [read(8), read(4), read(6)]
        prefetch = Prefetch("p", simulation, dma, items, 12, consumers=2, owned=[False, True, False])
        record = prefetch.watch()

        def consumer(number: int, delay_ps: int) -> Any:
            def run(process: Any) -> Steps:
                yield from prefetch.loaded.wait_for(1)
                yield from process.work(delay_ps)
                prefetch.release(number, 1)
                yield from prefetch.loaded.wait_for(3)
                prefetch.release(number, 3)

            return run

        simulation.process(consumer(0, 7), "first")
        simulation.process(consumer(1, 250), "second")
        simulation.run()
        # read one after another from 0, 100 and, when the window has room again, 350 ps on; the owned 4 bytes stay
        levels = list(zip(record.times_ps, record.levels, strict=True))
        assert levels == [(0, 8), (ACCESS_PS, 12), (350, 10), (450, 4)]
        assert (prefetch.room_bytes, prefetch.stream) == (16, "spikes")

    def test_a_list_of_nothing_has_no_stream(self, simulation: Simulation, dma: Dma) -> None:
        assert Prefetch("p", simulation, dma, [], 12).stream == ""
