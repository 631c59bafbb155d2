"""Accounts: every picosecond in one state, reasons, several stages as one engine."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tlm.kernel import (
    FINISHED,
    IDLE,
    ByteChannel,
    EngineAccount,
    Interval,
    Rendezvous,
    Simulation,
    State,
    TokenChannel,
    Watermark,
)


def test_states_of_a_producer_and_a_consumer() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)

    def producer(process):
        for item in range(3):
            yield from process.work(2)
            yield from channel.put(item)

    def consumer(process):
        for _ in range(3):
            yield from channel.get("tile dependency")
            yield from process.work(10)

    make, take = simulation.process(producer), simulation.process(consumer)
    simulation.run()
    # Items are made at 2, 4 and 6, taken at 2, 12 and 22; the third moves in at 12.
    assert make.account.totals_ps() == {
        (State.BUSY, ""): 6,
        (State.BLOCKED, "c"): 6,
        (State.STARVED, FINISHED): 20,
    }
    assert take.account.totals_ps() == {(State.STARVED, "tile dependency"): 2, (State.BUSY, ""): 30}


def test_raw_events_are_idle_unless_said_otherwise() -> None:
    simulation = Simulation()

    def body(process):
        yield simulation.timeout(3)
        with process.account.during(State.STARVED, "DRAM read"):
            yield simulation.timeout(4)
        yield from process.work(5)

    account = simulation.process(body).account
    simulation.run()
    assert account.totals_ps() == {
        (State.STARVED, IDLE): 3,
        (State.STARVED, "DRAM read"): 4,
        (State.BUSY, ""): 5,
    }


def test_a_wait_ends_in_the_state_before_it() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)

    def reader(process):
        with process.account.during(State.STARVED, "before"):
            yield from channel.get()
            yield simulation.timeout(4)

    def writer(process):
        yield from process.work(3)
        yield from channel.put(1)

    account = simulation.process(reader).account
    simulation.process(writer)
    simulation.run()
    assert account.totals_ps() == {(State.STARVED, "c"): 3, (State.STARVED, "before"): 4}


def test_a_caught_error_leaves_the_state_before() -> None:
    simulation = Simulation()

    def body(process):
        try:
            with process.account.during(State.BLOCKED, "write"):
                yield simulation.timeout(3)
                raise ValueError
        except ValueError:
            yield simulation.timeout(2)

    account = simulation.process(body).account
    simulation.run()
    assert account.totals_ps() == {(State.BLOCKED, "write"): 3, (State.STARVED, IDLE): 2}


def test_totals_in_the_middle_of_work() -> None:
    simulation = Simulation()

    def body(process):
        with process.account.during(State.STARVED, "setup"):
            yield from process.work(10)
            yield simulation.timeout(5)

    account = simulation.process(body).account
    simulation.run(4)
    assert account.totals_ps() == {(State.BUSY, ""): 4}
    simulation.run()
    assert account.totals_ps() == {(State.BUSY, ""): 10, (State.STARVED, "setup"): 5}


def test_listener_gets_maximal_intervals() -> None:
    simulation = Simulation()
    seen: list[Interval] = []

    def body(process):
        yield simulation.timeout(3)
        for _ in range(4):
            yield from process.work(5)

    account = simulation.process(body).account
    simulation.run(1)
    account.listen(seen.append)
    simulation.run(30)
    account.close()
    assert seen == [
        Interval(1, 3, State.STARVED, IDLE),
        Interval(3, 23, State.BUSY, ""),
        Interval(23, 30, State.STARVED, FINISHED),
    ]


def test_engine_prefers_busy_then_blocked_then_the_first_waiting_stage() -> None:
    simulation = Simulation()
    engine = EngineAccount(simulation.env, "engine")
    seen: list[Interval] = []
    engine.listen(seen.append)

    def stage(*steps):
        def body(process):
            for state, reason, duration_ps in steps:
                if state is State.BUSY:
                    yield from process.work(duration_ps)
                else:
                    with process.account.during(state, reason):
                        yield simulation.timeout(duration_ps)

        return body

    starved, blocked, busy = State.STARVED, State.BLOCKED, State.BUSY
    first = stage((starved, "a", 10), (starved, "b", 10), (blocked, "c", 10))
    second = stage((starved, "x", 5), (busy, "", 10), (blocked, "y", 20), (starved, "z", 5))
    for name, body in (("first", first), ("second", second)):
        engine.add(simulation.process(body, name).account)
    simulation.run(50)
    engine.close()
    assert seen == [
        Interval(0, 5, starved, "a"),
        Interval(5, 15, busy, ""),
        Interval(15, 20, blocked, "y"),
        Interval(20, 30, blocked, "c"),
        Interval(30, 35, blocked, "y"),
        Interval(35, 40, starved, "z"),
        Interval(40, 50, starved, FINISHED),
    ]
    assert sum(engine.totals_ps().values()) == engine.elapsed_ps == 50
    assert engine.state_ps(blocked) == 20


def test_an_engine_of_engines() -> None:
    simulation = Simulation()
    inner, outer = EngineAccount(simulation.env, "inner"), EngineAccount(simulation.env, "outer")
    assert (inner.state, inner.reason) == (State.STARVED, IDLE)

    def body(process):
        yield from process.work(6)

    outer.add(inner)
    inner.add(simulation.process(body).account)
    simulation.run(10)
    assert outer.totals_ps() == {(State.BUSY, ""): 6, (State.STARVED, FINISHED): 4}


def test_an_engine_that_starts_to_look_in_the_middle_of_work() -> None:
    simulation = Simulation()

    def body(process):
        yield from process.work(10)
        yield from process.work(10)

    process = simulation.process(body)
    simulation.run(5)
    engine = EngineAccount(simulation.env, "engine")
    engine.add(process.account)
    simulation.run(25)
    assert engine.totals_ps() == {(State.BUSY, ""): 15, (State.STARVED, FINISHED): 5}
    assert process.account.totals_ps() == {(State.BUSY, ""): 20, (State.STARVED, FINISHED): 5}


durations = st.lists(st.integers(0, 9), min_size=1, max_size=25)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(durations, durations, st.integers(1, 4), st.booleans(), st.integers(0, 3))
def test_totals_add_up_exactly(make_ps, take_ps, capacity, watched, cut) -> None:
    """Through every kind of channel; the watched accounts take another path through the code."""
    simulation = Simulation()
    count = min(len(make_ps), len(take_ps))
    tokens = TokenChannel("tokens", simulation, capacity)
    buffer = ByteChannel("bytes", simulation, 9 + capacity)
    meeting = Rendezvous("meeting", simulation)
    done = Watermark("done", simulation)
    engine = EngineAccount(simulation.env, "engine")

    def first(process):
        for item in range(count):
            yield from process.work(make_ps[item])
            yield from tokens.put(item)
            yield from buffer.put(item, make_ps[item])
        yield from done.wait_for(count)

    def second(process):
        for _ in range(count):
            item = yield from tokens.get()
            lease = yield from buffer.hold()
            yield from process.work(take_ps[item])
            lease.release()
            yield from meeting.put(item)

    def third(process):
        for item in range(count):
            yield from process.work(make_ps[-1 - item])
            yield from meeting.get()
            done.advance(item + 1)

    intervals: list[Interval] = []
    processes = [simulation.process(body) for body in (first, second, third)]
    if watched:
        for process in processes:
            engine.add(process.account)
        engine.listen(intervals.append)
    if cut:
        simulation.run(cut)
        assert all(sum(p.account.totals_ps().values()) == cut for p in processes)
    end_ps = simulation.run()
    for process, spent in zip(processes, (make_ps[:count], take_ps[:count], make_ps[::-1][:count]), strict=True):
        assert sum(process.account.totals_ps().values()) == process.account.elapsed_ps == end_ps
        assert process.account.state_ps(State.BUSY) == sum(spent)
    engine.close()
    assert sum(engine.totals_ps().values()) == end_ps
    assert sum(i.end_ps - i.start_ps for i in intervals) == (end_ps if watched else 0)
    assert all(a.end_ps == b.start_ps and a[2:] != b[2:] for a, b in pairwise(intervals))


def test_a_stage_that_waits_for_another_stage_does_not_block_the_engine() -> None:
    simulation = Simulation()
    engine = EngineAccount(simulation.env, "engine", inside=("hand-over",))
    hand_over = Rendezvous("tables", simulation)
    late = Watermark("late", simulation)

    def builder(process):
        yield from hand_over.put(1, "hand-over")

    def look_up(process):
        yield from late.wait_for(1, "spikes")
        yield from hand_over.get()

    def source(process):
        yield from process.work(70)
        late.advance(1)

    engine.add(simulation.process(builder).account)
    engine.add(simulation.process(look_up).account)
    simulation.process(source)
    simulation.run()
    assert engine.totals_ps() == {(State.STARVED, "spikes"): 70}
