"""Processes, names, running up to a time, deadlock and the time limit."""

import gc

import pytest

from tlm.kernel import (
    Deadlock,
    ElaborationError,
    Module,
    ProcessError,
    Simulation,
    TimeLimitExceeded,
    TimeValueError,
    TokenChannel,
    Watermark,
)


def worker(*durations_ps: int):
    def work(process):
        for duration_ps in durations_ps:
            yield from process.work(duration_ps)

    return work


def test_time_is_the_sum_of_the_work() -> None:
    simulation = Simulation()
    simulation.process(worker(3, 0, 4))
    assert simulation.run() == 7


def test_no_work_takes_no_event() -> None:
    simulation = Simulation()

    def body(process):
        assert list(process.work(0)) == []
        yield from process.work(1)

    simulation.process(body)
    assert simulation.run() == 1


def test_names_are_hierarchical_and_found() -> None:
    simulation = Simulation()
    chip = Module("chip", simulation)
    engine = Module("forward", chip)
    channel = TokenChannel("buffer", engine, 2)
    process = engine.process(worker(1), "loader")
    assert (channel.name, channel.base_name, process.full_name) == (
        "chip.forward.buffer",
        "buffer",
        "chip.forward.loader",
    )
    assert simulation.find("chip.forward.buffer") is channel
    assert simulation.processes == (process,)


def test_a_process_name_is_free_after_its_end() -> None:
    simulation = Simulation()
    simulation.process(worker(1), "again")
    simulation.run()
    assert simulation.processes == ()
    simulation.process(worker(1), "again")
    assert simulation.run() == 2


def test_run_stops_before_the_events_at_until() -> None:
    simulation = Simulation()
    seen = []

    def ticker(process):
        for _ in range(3):
            yield from process.work(10)
            seen.append(simulation.now_ps)

    simulation.process(ticker)
    assert simulation.run(20) == 20
    assert seen == [10]
    assert simulation.run() == 30
    assert simulation.run(100) == 100


@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_searches_no_cycles_and_leaves_the_search_as_it_was(wanted: bool) -> None:
    def body(process):
        found.append(gc.isenabled())
        yield from process.work(1)
        raise ValueError("stop")

    before, found = gc.isenabled(), []
    simulation = Simulation()
    simulation.process(body)
    (gc.enable if wanted else gc.disable)()
    try:
        with pytest.raises(ValueError, match="stop"):
            simulation.run()
        assert (found, gc.isenabled()) == ([False], wanted)
    finally:
        (gc.enable if before else gc.disable)()


def test_a_process_waits_for_another() -> None:
    simulation = Simulation()
    child = simulation.process(worker(25), "child")

    def parent(process):
        yield child
        yield from process.work(1)

    simulation.process(parent)
    assert simulation.run() == 26


def test_daemons_may_wait_for_ever() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)

    def serve(process):
        while True:
            yield from channel.get()

    simulation.process(serve, daemon=True)
    simulation.process(worker(5))
    assert simulation.run() == 5


def test_run_until_ends_beside_an_endless_ticker() -> None:
    simulation = Simulation()

    def tick(process):
        while True:
            yield from process.work(7)

    simulation.process(tick, daemon=True)
    assert simulation.run_until(simulation.process(worker(20))) == 20


def test_settled_comes_after_all_of_the_instant() -> None:
    simulation = Simulation()
    order = []

    def late(process):
        yield from process.work(5)
        yield simulation.settled()
        order.append("committed")

    def early(process):
        yield from process.work(5)
        for step in range(3):
            yield simulation.timeout(0)
            order.append(step)

    simulation.process(late)
    simulation.process(early)
    assert simulation.run() == 5
    assert order == [0, 1, 2, "committed"]


def test_deadlock_names_who_waits_for_what() -> None:
    simulation = Simulation()
    empty, full = TokenChannel("empty", simulation, 3), TokenChannel("full", simulation, 1)
    level = Watermark("tiles", simulation)

    def reader(process):
        yield from process.work(9)
        yield from empty.get()

    def writer(process):
        yield from full.put(1)
        yield from full.put(2)

    def waiter(process):
        yield from level.wait_for(4)

    def joiner(process):
        yield reading

    def lost(process):
        yield simulation.event()

    def server(process):
        yield from empty.get()

    simulation.process(server, daemon=True)
    reading = simulation.process(reader)
    for body in (writer, waiter, joiner, lost):
        simulation.process(body)
    with pytest.raises(Deadlock) as caught:
        simulation.run()
    assert str(caught.value) == (
        "deadlock at 9 ps: reader waits for get on empty (level 0 of 3 tokens); "
        "writer waits for put on full (level 1 of 1 tokens); waiter waits for level 4 on tiles (level 0); "
        "joiner waits for the end of reader; lost waits for an event; "
        "server (daemon) waits for get on empty (level 0 of 3 tokens)"
    )


def test_run_until_reports_a_deadlock_and_the_limit() -> None:
    simulation = Simulation()
    channel = TokenChannel("c", simulation, 1)

    def reader(process):
        yield from channel.get()

    with pytest.raises(Deadlock, match=r"^deadlock at 0 ps: reader waits for get on c"):
        simulation.run_until(simulation.process(reader))
    simulation.time_limit_ps = 10
    with pytest.raises(TimeLimitExceeded, match=r"^time limit of 10 ps exceeded: reader waits .*slow is busy until"):
        simulation.run_until(simulation.process(worker(11), "slow"))


def test_time_limit_is_tight() -> None:
    for duration_ps in (100, 101):
        simulation = Simulation()
        simulation.time_limit_ps = 100
        simulation.process(worker(duration_ps), "late")
        if duration_ps == 100:
            assert simulation.run() == 100
        else:
            with pytest.raises(TimeLimitExceeded, match=r"^time limit of 100 ps exceeded: late is busy until a later"):
                simulation.run()


def test_time_limit_stops_daemons_quietly() -> None:
    simulation = Simulation()
    simulation.time_limit_ps = 50

    def tick(process):
        while True:
            yield from process.work(20)

    simulation.process(tick, daemon=True)
    assert simulation.run() == 40
    assert simulation.run(45) == 45


def twice(simulation):
    Module("a", simulation)
    Module("a", simulation)


def process_twice(simulation):
    simulation.process(worker(1), "a")
    simulation.process(worker(1), "a")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (twice, "a: name is taken twice, got 'Module', allowed: one part per name"),
        (process_twice, "a: name is taken twice, got 'process'"),
        (lambda s: Module("", s), "simulation: bad name, got '', allowed: not empty, no dots, no spaces"),
        (lambda s: Module("x.y", Module("m", s)), "m: bad name, got 'x.y'"),
        (lambda s: s.find("nowhere"), "simulation: no part has this name, got 'nowhere'"),
        (lambda s: s.process(lambda process: 3, "f"), "f: process body is not a generator function, got 'int'"),
    ],
)
def test_words_of_elaboration_errors(build, words) -> None:
    with pytest.raises(ElaborationError, match=f"^{words}"):
        build(Simulation())


def test_words_of_time_errors() -> None:
    simulation = Simulation()
    simulation.process(worker(5))
    simulation.run()
    with pytest.raises(TimeValueError, match=r"^until_ps: time is past, got 3, allowed: at least 5"):
        simulation.run(3)
    with pytest.raises(TimeValueError, match=r"^timeout: time is not a whole number, got 0.5"):
        simulation.timeout(0.5)
    simulation.process(worker(-1), "backwards")
    with pytest.raises(TimeValueError, match=r"^work of backwards: time is negative, got -1"):
        simulation.run()


def test_words_of_process_errors() -> None:
    simulation = Simulation()
    first = simulation.process(worker(5), "first")

    def thief(process):
        yield from first.work(1)

    with pytest.raises(ProcessError, match=r"^first: kernel processes cannot be interrupted, got 'why'"):
        first.interrupt("why")
    simulation.process(thief)
    with pytest.raises(ProcessError, match=r"^first: work is called by another process"):
        simulation.run()


def test_channel_outside_a_process_is_an_error() -> None:
    channel = TokenChannel("c", Simulation(), 1)
    with pytest.raises(ProcessError, match=r"^get on c \(level 0 of 1 tokens\): must be called from a process"):
        next(channel.get())


def test_a_cancelled_event_never_happens_and_takes_no_time() -> None:
    simulation = Simulation()
    happened = []
    timers = {delay_ps: simulation.timeout(delay_ps) for delay_ps in (5, 9, 3, 7, 8)}
    for delay_ps, timer in timers.items():
        timer.callbacks.append(lambda event, delay_ps=delay_ps: happened.append(delay_ps))
    simulation.cancel(timers[9])
    simulation.cancel(timers[5])
    assert simulation.run() == 8
    assert happened == [3, 7, 8]


def test_only_what_is_to_happen_can_be_cancelled() -> None:
    simulation = Simulation()
    timer = simulation.timeout(1)
    simulation.run()
    for event in (timer, simulation.event()):
        with pytest.raises(ElaborationError, match=r"^cancel: event is not in the queue, got '(Timeout|Event)'$"):
            simulation.cancel(event)
