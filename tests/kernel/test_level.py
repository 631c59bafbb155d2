"""Records of levels: what an instant ends with, neighbours that differ, and the channels that keep them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tlm.kernel import ByteChannel, LevelRecord, Simulation, TokenChannel
from tlm.kernel.process import Process, Steps


def pairs(record: LevelRecord) -> list[tuple[int, int]]:
    return list(zip(record.times_ps, record.levels, strict=True))


@pytest.mark.parametrize(
    ("notes", "kept"),
    [
        ([], [(0, 3)]),
        ([(0, 4)], [(0, 4)]),
        ([(5, 3)], [(0, 3)]),
        ([(5, 4), (5, 6), (9, 1)], [(0, 3), (5, 6), (9, 1)]),
        ([(5, 4), (5, 3), (9, 3)], [(0, 3)]),  # as before when the instant is over
        ([(0, 9), (0, 3), (5, 9)], [(0, 3), (5, 9)]),
    ],
)
def test_what_an_instant_ends_with_counts(notes: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    simulation = Simulation()
    record = LevelRecord(simulation.env, 3)
    for time_ps, level in notes:
        simulation.run(time_ps)
        record.note(level)
    assert pairs(record) == kept


def run(channel: TokenChannel[str] | ByteChannel[str], put: Callable[[], Steps]) -> None:
    """Put three items at 0, 10 and 20 ps, take one at 25 ps and the next two, without a pause, at 40 ps."""

    def writer(process: Process) -> Steps:
        for _ in range(3):
            yield from put()
            yield from process.work(10)

    def reader(process: Process) -> Steps:
        yield from process.work(25)
        yield from channel.get()
        yield from process.work(15)
        yield from channel.get()
        yield from channel.get()

    channel.simulation.process(writer)
    channel.simulation.process(reader)
    channel.simulation.run()


def test_a_watched_channel_of_tokens() -> None:
    channel: TokenChannel[str] = TokenChannel("t", Simulation(), 2)
    record = channel.watch()
    run(channel, lambda: channel.put("item"))
    # the third writer waits from 20 ps on, and moves in when the first token goes
    assert pairs(record) == [(0, 1), (10, 2), (40, 0)]
    assert channel.put_count == 3


def test_a_watched_channel_of_bytes() -> None:
    channel: ByteChannel[str] = ByteChannel("b", Simulation(), 100)
    record = channel.watch()
    run(channel, lambda: channel.put("item", 7))
    assert pairs(record) == [(0, 7), (10, 14), (20, 21), (25, 14), (40, 0)]


def test_watching_begins_with_the_present_level() -> None:
    simulation = Simulation()
    tokens: TokenChannel[str] = TokenChannel("t", simulation, 2)
    rooms: ByteChannel[str] = ByteChannel("b", simulation, 9)
    assert tokens.try_put("item")
    assert rooms.try_put("item", 5)
    assert (pairs(tokens.watch()), pairs(rooms.watch())) == ([(0, 1)], [(0, 5)])
    assert tokens.try_get() == ("item",)
