"""Byte channels: room by size, order of writers, partial release."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm.kernel import ByteChannel, CapacityError, Deadlock, Simulation


def test_room_is_tight_and_partial_release_makes_it() -> None:
    simulation = Simulation()
    channel = ByteChannel("b", simulation, 10)
    sent = []

    def writer(process):
        for size in (6, 4, 5):
            yield from channel.put("item", size)
            sent.append(simulation.now_ps)

    def reader(process):
        yield from process.work(10)
        lease = yield from channel.hold()
        lease.release(4)
        assert (lease.held_bytes, channel.level_bytes) == (2, 6)
        yield from process.work(10)
        lease.release(1)
        yield from process.work(10)
        lease.release()
        assert lease.held_bytes == 0

    simulation.process(writer)
    simulation.process(reader)
    simulation.run(20)
    assert sent == [0, 0]  # 4 bytes are free from 10 ps on, 5 are needed
    simulation.run()
    assert sent == [0, 0, 20]
    assert (channel.level_bytes, channel.peak_level_bytes) == (9, 10)
    assert (channel.put_count, channel.put_bytes, channel.item_count) == (3, 15, 2)


def test_a_small_writer_does_not_overtake_a_large_one() -> None:
    simulation = Simulation()
    channel = ByteChannel("b", simulation, 10)
    order = []

    def writer(name, size, delay_ps):
        def body(process):
            yield from process.work(delay_ps)
            yield from channel.put(name, size)
            order.append((name, simulation.now_ps))

        return body

    def reader(process):
        yield from process.work(20)
        for _ in range(3):
            yield from channel.get()

    for name, size, delay_ps in (("first", 8, 0), ("large", 9, 1), ("small", 1, 2)):
        simulation.process(writer(name, size, delay_ps), name)
    simulation.process(reader)
    simulation.run()
    assert order == [("first", 0), ("large", 20), ("small", 20)]


def test_empty_items_pass_and_try_put_refuses_what_does_not_fit() -> None:
    simulation = Simulation()
    channel = ByteChannel("b", simulation, 4)
    assert [channel.try_put(size, size) for size in (4, 0, 1)] == [True, True, False]
    assert (channel.level_bytes, channel.item_count) == (4, 2)


def test_deadlock_shows_sizes_and_levels() -> None:
    simulation = Simulation()
    full, empty = ByteChannel("full", simulation, 8), ByteChannel("empty", simulation, 8)

    def writer(process):
        yield from full.put(1, 6)
        yield from full.put(2, 3)

    def reader(process):
        yield from empty.get()

    simulation.process(writer)
    simulation.process(reader)
    with pytest.raises(Deadlock) as caught:
        simulation.run()
    assert caught.value.waits == (
        "writer waits for put of 3 bytes on full (level 6 of 8 bytes, 1 items inside)",
        "reader waits for get on empty (level 0 of 8 bytes, 0 items inside)",
    )


def release_too_much(channel):
    channel.try_put("item", 3)
    next_lease = channel.hold()
    with pytest.raises(StopIteration) as taken:
        next(next_lease)
    taken.value.value.release(4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda b: b.try_put(0, 9), "b: item is larger than the channel, got 9, allowed: at most 8 bytes"),
        (lambda b: b.try_put(0, -1), "b: item size is too small, got -1, allowed: at least 0 bytes"),
        (lambda b: next(b.put(0, 2.0)), "b: item size is not a whole number, got 2.0, allowed: integer bytes"),
        (lambda b: ByteChannel("z", b.simulation, 0), "z: capacity is too small, got 0, allowed: at least 1 bytes"),
        (release_too_much, "b: more released than is held, got 4, allowed: at most 3 bytes"),
    ],
)
def test_words_of_errors(call, words) -> None:
    with pytest.raises(CapacityError, match=f"^{words}"):
        call(ByteChannel("b", Simulation(), 8))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4), st.integers(0, 4), st.integers(0, 8)), max_size=25),
    st.integers(8, 20),
)
def test_order_kept_nothing_lost_level_never_above_capacity(items, capacity) -> None:
    """Sizes, pauses of both sides, and how much of a lease is released before the pause."""
    simulation = Simulation()
    channel = ByteChannel("b", simulation, capacity)
    got = []
    sent_ps = []

    def writer(process):
        for number, (size, pause_ps, _, _) in enumerate(items):
            yield from process.work(pause_ps)
            yield from channel.put(number, size)
            sent_ps.append(simulation.now_ps)
            assert channel.level_bytes <= capacity

    def reader(process):
        for _, _, pause_ps, part in items:
            lease = yield from channel.hold()
            lease.release(min(part, lease.held_bytes))
            yield from process.work(pause_ps)
            lease.release()
            got.append(lease.item)

    simulation.process(reader)
    simulation.process(writer)
    simulation.run()
    assert got == list(range(len(items)))
    assert channel.level_bytes == 0
    assert channel.peak_level_bytes <= capacity
    assert sent_ps == replay(items, capacity)


def replay(items, capacity):
    """The writer's times from first principles: put when the bytes still held leave room."""
    releases = deque()  # (time, bytes), in order of time
    free, writer_ps, reader_ps, sent = capacity, 0, 0, []
    for size, put_pause_ps, get_pause_ps, part in items:
        writer_ps += put_pause_ps
        while releases and releases[0][0] <= writer_ps:
            free += releases.popleft()[1]
        while free < size:
            when_ps, freed = releases.popleft()
            writer_ps, free = max(writer_ps, when_ps), free + freed
        free -= size
        sent.append(writer_ps)
        reader_ps = max(reader_ps, writer_ps)
        early = min(part, size)
        releases.append((reader_ps, early))
        reader_ps += get_pause_ps
        releases.append((reader_ps, size - early))
    return sent


def test_one_release_lets_in_all_writers_that_fit() -> None:
    simulation = Simulation()
    channel = ByteChannel("b", simulation, 10)
    sent = {}

    def writer(name, size, delay_ps):
        def body(process):
            yield from process.work(delay_ps)
            yield from channel.put(name, size)
            sent[name] = simulation.now_ps

        return body

    def reader(process):
        yield from process.work(20)
        yield from channel.get()

    for name, size, delay_ps in (("first", 10, 0), ("a", 4, 1), ("b", 6, 2), ("c", 1, 3)):
        simulation.process(writer(name, size, delay_ps), f"writer_{name}", daemon=name == "c")
    simulation.process(reader)
    simulation.run()
    assert sent == {"first": 0, "a": 20, "b": 20}
