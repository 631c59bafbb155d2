"""The banked DRAM behind a socket: exact whatever it looks ahead at, whole bursts, order of arrival, posted writes."""

from __future__ import annotations

import re
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.kernel import Deadlock, Simulation, TransportError
from tlm.kernel.account import State
from tlm.kernel.payload import Command, Payload
from tlm.kernel.process import Steps
from tlm.kernel.socket import InitiatorSocket
from tlm.memory.banked_dram import BankedDram
from tlm.memory.controller import CONTROLLERS, DramChannel
from tlm.memory.interleaving import Interleaving
from tlm.memory.standard import load_standard

HBM2, HBM3, DDR4 = (load_standard(name) for name in ("HBM2", "HBM3", "DDR4"))
Request = tuple[int, Command, int, int]  # arrival in ps, command, address, length
TWO_CHANNELS = Interleaving(2, 64, HBM2.burst_bytes)
CAPACITY = 2**20


def make_dram(
    simulation: Simulation, standard=HBM2, controller: str = "mop4clxor", channels: int = 2, block: int = 64
) -> BankedDram:  # type: ignore[no-untyped-def]
    interleaving = Interleaving(channels, block, standard.burst_bytes)
    return BankedDram("dram", simulation, standard, CONTROLLERS[controller], interleaving, CAPACITY)


def send(dram: BankedDram, requests: list[Request], ends: dict[Request, list[int]], drain: bool = False) -> None:
    """Start one process for each request, in the order of the list."""
    simulation = dram.simulation
    for number, request in enumerate(requests):
        socket = InitiatorSocket(f"initiator{number}", simulation)
        socket.bind(dram.socket)

        def run(process, request: Request = request, socket: InitiatorSocket = socket) -> Steps:  # type: ignore[no-untyped-def]
            arrival_ps, command, address, length = request
            yield from process.work(arrival_ps)
            payload = Payload(command, address, length, "spikes")
            yield from socket.b_transport(payload)
            payload.require_ok()
            ends.setdefault(request, []).append(simulation.now_ps)
            if drain:
                yield from dram.drain()

        simulation.process(run, f"sender{number}")


def run_requests(requests: list[Request], standard=HBM2, controller: str = "mop4clxor") -> dict[Request, list[int]]:  # type: ignore[no-untyped-def]
    simulation = Simulation()
    ends: dict[Request, list[int]] = {}
    send(make_dram(simulation, standard, controller), requests, ends)
    simulation.run()
    return {request: sorted(times) for request, times in ends.items()}


def without_looking_ahead(requests: list[Request], standard, controller: str) -> dict[Request, list[int]]:  # type: ignore[no-untyped-def]
    """Each channel alone, told of every transaction in advance, run once from beginning to end."""
    ordered = sorted(requests, key=lambda r: (r[0], r[1] is Command.WRITE, r[2], r[3]))
    interleaving = Interleaving(2, 64, standard.burst_bytes)
    ends = [0] * len(ordered)
    for index in range(2):
        channel = DramChannel(standard, CONTROLLERS[controller])
        for number, (arrival_ps, command, address, length) in enumerate(ordered):
            for owner, first, count in interleaving.bursts(address, length):
                if owner == index:
                    bursts = np.arange(first, first + count) * standard.burst_bytes
                    channel.add(bursts, command is Command.WRITE, number, standard.tick_of_ps(arrival_ps))
        channel.run_until_idle()
        for number, tick in channel.completed:
            ends[number] = max(ends[number], standard.ps_of_tick(tick))
    found: dict[Request, list[int]] = {}
    for request, end_ps in zip(ordered, ends, strict=True):
        found.setdefault(request, []).append(end_ps)
    return {request: sorted(times) for request, times in found.items()}


requests_ = st.lists(
    st.tuples(
        st.integers(0, 400_000),
        st.sampled_from(Command),
        st.integers(0, 50_000),
        st.integers(1, 3_000),
    ),
    min_size=1,
    max_size=12,
)


class TestInterleaving:
    @given(
        st.integers(1, 5),
        st.sampled_from([32, 64, 160]),
        st.sampled_from([16, 32]),
        st.integers(0, 900),
        st.integers(1, 900),
    )
    def test_every_burst_touched_is_in_its_channel_s_share(
        self, channels: int, block: int, burst: int, address: int, length: int
    ) -> None:
        expected: dict[int, list[int]] = {}
        for number in range(address // burst, (address + length - 1) // burst + 1):
            owner = number * burst // block % channels
            local = number * burst // (block * channels) * block + number * burst % block
            expected.setdefault(owner, []).append(local // burst)
        interleaving = Interleaving(channels, block, burst)
        shares = {channel: list(range(first, first + n)) for channel, first, n in interleaving.bursts(address, length)}
        assert shares == expected
        assert len(list(interleaving.bursts(address, length))) == len(shares)
        assert interleaving.moved_bytes(address, length) == burst * sum(map(len, expected.values()))

    @pytest.mark.parametrize(
        ("address", "length", "moved"), [(0, 32, 32), (31, 1, 32), (31, 2, 64), (5, 64, 96), (32, 33, 64)]
    )
    def test_unaligned_ends_move_whole_bursts(self, address: int, length: int, moved: int) -> None:
        assert TWO_CHANNELS.moved_bytes(address, length) == moved


class TestTimes:
    def test_one_read_of_an_idle_channel(self) -> None:
        """ACT is two cycles on the bus, and counts from the second."""
        t = HBM2.timings
        cycles = 1 + 1 + t["nRCDRD"] + t["nCL"] + t["nBL"]
        request = (0, Command.READ, 0, 32)
        assert run_requests([request]) == {request: [cycles * HBM2.clock_period_ps]}

    @pytest.mark.parametrize(("arrival_ps", "later"), [(0, 0), (1, 1), (1000, 1), (1001, 2)])
    def test_a_request_counts_from_the_next_clock_edge(self, arrival_ps: int, later: int) -> None:
        request = (arrival_ps, Command.READ, 0, 32)
        (end_ps,) = run_requests([request])[request]
        (first_ps,) = run_requests([(0, Command.READ, 0, 32)]).popitem()[1]
        assert end_ps == first_ps + 1000 * later

    def test_a_write_is_posted_and_a_read_is_not(self) -> None:
        write, read = ((0, command, 0, 64) for command in (Command.WRITE, Command.READ))
        assert run_requests([write])[write][0] < run_requests([read])[read][0]

    @settings(max_examples=60)
    @given(requests_, st.sampled_from([("HBM2", "mop4clxor"), ("HBM3", "base"), ("DDR4", "queue8")]))
    def test_looking_ahead_changes_nothing(self, requests: list[Request], model: tuple[str, str]) -> None:
        standard = {"HBM2": HBM2, "HBM3": HBM3, "DDR4": DDR4}[model[0]]
        expected = without_looking_ahead(requests, standard, model[1])
        assert run_requests(requests, standard, model[1]) == expected

    def test_the_order_in_which_processes_were_created_does_not_matter(self) -> None:
        requests = [
            (0, Command.READ, 0, 700),
            (0, Command.READ, 32, 700),
            (0, Command.WRITE, 64, 900),
            (0, Command.READ, 2048, 64),
            (5_000, Command.READ, 0, 32),
        ]
        outcomes = [run_requests(list(order)) for order in permutations(requests)]
        assert all(outcome == outcomes[0] for outcome in outcomes)
        assert len({end for ends in outcomes[0].values() for end in ends}) > 3

    def test_many_reads_reach_nine_tenths_of_the_peak(self) -> None:
        simulation = Simulation()
        dram = make_dram(simulation, channels=8, block=256)
        ends: dict[Request, list[int]] = {}
        send(dram, [(0, Command.READ, first * 2**16, 2**16) for first in range(8)], ends)
        simulation.run()
        moved = 8 * 2**16
        assert 0.85 < moved * 10**6 / simulation.now_ps / dram.peak_bytes_per_us < 1
        assert dram.peak_bytes_per_us == 256_000

    def test_draining_waits_until_posted_writes_are_on_the_bus(self) -> None:
        simulation = Simulation()
        dram = make_dram(simulation)
        ends: dict[Request, list[int]] = {}
        send(dram, [(0, Command.WRITE, 0, 128)], ends, drain=True)
        posted_ps = HBM2.clock_period_ps
        channel = DramChannel(HBM2, CONTROLLERS["mop4clxor"])
        channel.add(np.arange(2) * 32, True, 0, 0)
        channel.run_until_idle()
        assert channel.idle_tick is not None
        assert simulation.run() == HBM2.ps_of_tick(channel.idle_tick) > posted_ps
        assert sum(use.commands["WR"] for use in dram.use()) == 4

    def test_draining_waits_for_what_arrives_meanwhile(self) -> None:
        simulation = Simulation()
        dram = make_dram(simulation)
        send(dram, [(0, Command.WRITE, 0, 64), (20_000, Command.WRITE, 4096, 2048)], {}, drain=True)
        simulation.run()
        assert simulation.now_ps > 20_000 + 2048 // 2 // 32 * 1000
        assert sum(use.commands["WR"] for use in dram.use()) == 2 + 64

    def test_a_drained_dram_takes_no_time(self, simulation: Simulation) -> None:
        assert list(make_dram(simulation).drain()) == []


class TestCounts:
    def test_bytes_asked_for_and_bytes_moved(self, simulation: Simulation) -> None:
        dram = make_dram(simulation)
        send(dram, [(0, Command.READ, 30, 4), (0, Command.WRITE, 128, 32)], {})
        simulation.run()
        assert dram.bytes_by_stream == {("spikes", Command.READ): 4, ("spikes", Command.WRITE): 32}
        assert dram.burst_bytes_by_stream == {("spikes", Command.READ): 64, ("spikes", Command.WRITE): 32}

    @settings(max_examples=20)
    @given(requests_)
    def test_every_burst_is_a_hit_a_miss_or_a_conflict(self, requests: list[Request]) -> None:
        simulation = Simulation()
        dram = make_dram(simulation)
        send(dram, requests, {}, drain=True)
        simulation.run()
        total: Counter[str] = Counter()
        for use in dram.use():
            columns = use.commands["RD"] + use.commands["WR"]
            assert use.row_hits + use.row_misses + use.row_conflicts == columns
            assert use.busy_ps == columns * 32 * 10**6 // 32_000
            total.update(use.commands)
        counts = dram._channels.statistics(0)
        merged = sum(channel.coalesced_writes + channel.forwarded_reads for channel in counts)
        assert (total["RD"] + total["WR"] + merged) * 32 == dram.burst_bytes_by_stream.total()

    def test_the_caller_is_booked_for_its_own_reason(self, simulation: Simulation) -> None:
        dram = make_dram(simulation)
        socket = InitiatorSocket("initiator", simulation)
        socket.bind(dram.socket)
        books = {}

        def run(process) -> Steps:  # type: ignore[no-untyped-def]
            yield from socket.b_transport(Payload(Command.READ, 0, 32), "weights")
            books.update(process.account.totals_ps())

        simulation.process(run)
        end_ps = simulation.run()
        assert books == {(State.STARVED, "weights"): end_ps}


class TestRefused:
    def test_an_access_past_the_end(self, simulation: Simulation) -> None:
        dram = make_dram(simulation)
        send(dram, [(0, Command.READ, CAPACITY - 4, 5)], {})
        with pytest.raises(TransportError, match=r"^spikes: read of 5 bytes at 0xffffc failed, got 'address error'"):
            simulation.run()
        assert dram.bytes_by_stream == {}

    def test_blocks_that_are_no_whole_bursts(self, simulation: Simulation) -> None:
        allowed = f"a multiple of {HBM2.name}'s burst of 32 bytes"
        words = f"dram.interleave_bytes: blocks are not whole bursts, got 48, allowed: {allowed}"
        with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
            make_dram(simulation, block=48)

    def test_channels_that_hold_too_little(self, simulation: Simulation) -> None:
        interleaving = Interleaving(1, 64, 32)
        need = 2 * HBM2.capacity_bytes + 1
        words = f"dram.channels: the step needs {need} bytes of DRAM, got 1, allowed: 3 or more"
        with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
            BankedDram("dram", simulation, HBM2, CONTROLLERS["base"], interleaving, need)


def test_a_deadlock_names_the_transaction() -> None:
    simulation = Simulation()
    dram = make_dram(simulation)
    send(dram, [(0, Command.READ, 0, 32)], {})
    dram._go_on = lambda event: None  # type: ignore[method-assign]  # a controller that never answers
    with pytest.raises(Deadlock, match=r"sender0 waits for read of 32 bytes on dram \(0 under way\)"):
        simulation.run()
