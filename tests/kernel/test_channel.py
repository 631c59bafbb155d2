"""Token channels: order, back-pressure, tight times, independence of the order of creation."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm.kernel import CapacityError, Simulation, TokenChannel


def test_blocked_until_the_instant_of_room() -> None:
    """The writer of the second token is blocked at 9 ps and free at 10 ps."""
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)
    sent = []

    def writer(process):
        for item in range(2):
            yield from channel.put(item)
            sent.append(simulation.now_ps)

    def reader(process):
        yield from process.work(10)
        yield from channel.get()

    simulation.process(writer)
    simulation.process(reader)
    simulation.run(10)
    assert (sent, channel.level) == ([0], 1)
    simulation.run(11)
    assert (sent, channel.level, channel.put_count, channel.peak_level) == ([0, 10], 1, 2, 1)


def test_starved_until_the_instant_of_an_item() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 4)
    got = []

    def reader(process):
        item = yield from channel.get()
        got.append((item, simulation.now_ps))

    def writer(process):
        yield from process.work(10)
        yield from channel.put("a")

    simulation.process(reader)
    simulation.process(writer)
    simulation.run(10)
    assert got == []
    simulation.run()
    assert got == [("a", 10)]
    assert (channel.level, channel.peak_level, channel.put_count) == (0, 0, 1)


def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)
    got = []

    def reader(delay_ps):
        def body(process):
            yield from process.work(delay_ps)
            item = yield from channel.get()
            got.append((delay_ps, item))

        return body

    def writer(process):
        yield from process.work(10)
        for item in "abc":
            yield from channel.put(item)

    for delay_ps in (3, 1, 2):
        simulation.process(reader(delay_ps), f"reader{delay_ps}")
    simulation.process(writer)
    simulation.run()
    assert got == [(1, "a"), (2, "b"), (3, "c")]


def test_none_is_an_item_like_any_other() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 2)
    assert channel.try_put(None)
    assert channel.try_get() == (None,)
    assert channel.try_get() is None


def test_try_put_serves_a_waiting_reader_and_respects_the_capacity() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)
    got = []

    def reader(process):
        got.append((yield from channel.get()))

    simulation.process(reader, daemon=True)
    simulation.run(1)
    assert [channel.try_put(item) for item in "abc"] == [True, True, False]
    simulation.run()
    assert (got, channel.try_get(), channel.put_count) == (["a"], ("b",), 2)


@pytest.mark.parametrize(
    ("capacity", "words"),
    [
        (0, "c: capacity is too small, got 0, allowed: at least 1 tokens"),
        (1.5, "c: capacity is not a whole number, got 1.5, allowed: integer tokens"),
    ],
)
def test_words_of_errors(capacity, words) -> None:
    with pytest.raises(CapacityError, match=f"^{words}"):
        TokenChannel("c", Simulation(), capacity)


def pipeline_times(services, capacities, order=None):
    """Run a pipeline; return the times at which each stage was done, creating its processes in `order`."""
    simulation = Simulation()
    channels = [TokenChannel(f"c{i}", simulation, capacity) for i, capacity in enumerate(capacities)]
    done = [[] for _ in services]
    received = []

    def stage(index):
        def body(process):
            for item, service_ps in enumerate(services[index]):
                if index:
                    item = yield from channels[index - 1].get()
                yield from process.work(service_ps)
                done[index].append(simulation.now_ps)
                if index < len(channels):
                    yield from channels[index].put(item)
                    assert channels[index].level <= channels[index].capacity
                else:
                    received.append(item)

        return body

    for index in order or range(len(services)):
        simulation.process(stage(index), f"stage{index}")
    simulation.run()
    assert received == list(range(len(services[0])))
    assert all(channel.put_count == len(received) for channel in channels)
    assert all(channel.peak_level <= channel.capacity for channel in channels)
    return done


def max_plus(services, capacities):
    """The same times by the recurrence of a blocking pipeline (no simulation)."""
    stages, items = len(services), len(services[0])
    begin = [[0] * items for _ in services]
    done = [[0] * items for _ in services]
    sent = [[0] * items for _ in services]
    for n in range(items):
        for s in range(stages):
            ready = sent[s][n - 1] if n else 0
            begin[s][n] = max(ready, sent[s - 1][n]) if s else ready
            done[s][n] = begin[s][n] + services[s][n]
            # The n-th token has room once token n - capacity has been taken by the next stage.
            room = n - capacities[s] if s < stages - 1 else -1
            sent[s][n] = max(done[s][n], begin[s + 1][room]) if room >= 0 else done[s][n]
    return done


@st.composite
def pipelines(draw):
    stages = draw(st.integers(2, 4))
    items = draw(st.integers(1, 12))
    services = [draw(st.lists(st.integers(0, 6), min_size=items, max_size=items)) for _ in range(stages)]
    return services, draw(st.lists(st.integers(1, 4), min_size=stages - 1, max_size=stages - 1))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(pipelines())
def test_pipeline_equals_its_recurrence(pipeline) -> None:
    assert pipeline_times(*pipeline) == max_plus(*pipeline)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(pipelines())
def test_order_of_creation_changes_no_time(pipeline) -> None:
    stages = len(pipeline[0])
    results = [pipeline_times(*pipeline, order) for order in permutations(range(stages))]
    assert all(result == results[0] for result in results)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40), st.integers(1, 5))
def test_many_writers_and_readers_lose_nothing(delays, capacity) -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, capacity)
    got = []

    def writer(item, delay_ps):
        def body(process):
            yield from process.work(delay_ps)
            yield from channel.put(item)
            assert channel.level <= capacity

        return body

    def reader(delay_ps):
        def body(process):
            yield from process.work(delay_ps)
            got.append((yield from channel.get()))

        return body

    for item, (put_ps, get_ps) in enumerate(delays):
        simulation.process(writer(item, put_ps), f"w{item}")
        simulation.process(reader(get_ps), f"r{item}")
    simulation.run()
    assert sorted(got) == list(range(len(delays)))
    assert channel.level == 0


def test_waiting_writers_are_served_in_the_order_in_which_they_came() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)
    got = []

    def writer(delay_ps):
        def body(process):
            yield from process.work(delay_ps)
            yield from channel.put(delay_ps)

        return body

    def reader(process):
        yield from process.work(10)
        for _ in range(4):
            got.append((yield from channel.get()))

    for delay_ps in (3, 0, 2, 1):
        simulation.process(writer(delay_ps), f"writer{delay_ps}")
    simulation.process(reader)
    simulation.run()
    assert got == [0, 1, 2, 3]
