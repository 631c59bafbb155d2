"""Both simulators on a FIFO: same beats, same cycles, patterns obeyed, misuse and misbehaviour told in clear words."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.simulators import (
    MyhdlSimulator,
    Simulator,
    SimulatorError,
    VerilatorSimulator,
    available_simulators,
    build,
    open_interactive,
    simulator_by_name,
)
from rtl_models.units import Pattern, Stimulus
from tests.rtl_models.blocks import adder_unit, fifo_unit, stuck_unit
from tests.rtl_models.simulation import needs_verilator, simulators, words

DEPTH = 4
FIFO = fifo_unit(DEPTH)


def fifo_stimulus(beats: int, seed: int, valid: Pattern | None = None, ready: Pattern | None = None) -> Stimulus:
    """Return random beats of 7 and 93 bits."""
    rng = np.random.default_rng(seed)
    high = rng.integers(0, 1 << 64, (beats, 2), dtype=np.uint64)
    high[:, 1] >>= np.uint64(64 - 29)
    low = rng.integers(0, 1 << 7, beats, dtype=np.uint64)
    return Stimulus(
        beats={"in": {"low": words(low), "high": high}},
        outputs={"out": beats},
        valid={} if valid is None else {"in": valid},
        ready={} if ready is None else {"out": ready},
    )


def expected_words(stimulus: Stimulus) -> np.ndarray:
    """Return high above low as 64-bit words."""
    low, high = stimulus.beats["in"]["low"][:, 0], stimulus.beats["in"]["high"]
    first = low | high[:, 0] << np.uint64(7)
    second = high[:, 0] >> np.uint64(57) | high[:, 1] << np.uint64(7)
    return np.stack([first, second], axis=1)


def fifo_transfers(beats: int, valid: Pattern, ready: Pattern) -> tuple[list[int], list[int]]:
    """Return the cycles of puts and gets of a FIFO, one cycle after the other."""
    puts: list[int] = []
    gets: list[int] = []
    held: deque[int] = deque()
    offered, cycle = False, 0
    while len(gets) < beats:
        offered = offered or (len(puts) < beats and (cycle >= len(valid) or bool(valid[cycle])))
        get = bool(held) and (cycle >= len(ready) or bool(ready[cycle]))
        put = offered and len(held) < DEPTH
        if get:
            held.popleft()
            gets.append(cycle)
        if put:
            held.append(cycle)
            puts.append(cycle)
            offered = False
        cycle += 1
    return puts, gets


@simulators
def test_random_stalls_move_every_beat_in_the_right_cycle(simulator: Simulator) -> None:
    rng = np.random.default_rng(7)
    patterns = [
        ((rng.random(n) < p).astype(np.uint8), (rng.random(n) < q).astype(np.uint8))
        for n, p, q in ((0, 1, 1), (40, 0.3, 1), (60, 1, 0.3), (60, 0.5, 0.5), (30, 0, 0))
    ]
    stimuli = [fifo_stimulus(12, seed, v, r) for seed, (v, r) in enumerate(patterns)]
    responses = simulator.run(FIFO, stimuli)
    for stimulus, response, (valid, ready) in zip(stimuli, responses, patterns, strict=True):
        np.testing.assert_array_equal(response.payloads["out"]["data"], expected_words(stimulus))
        puts, gets = fifo_transfers(12, valid, ready)
        assert response.transfers["in"].tolist() == puts
        assert response.transfers["out"].tolist() == gets
        assert response.cycles_total == gets[-1] + 1


@simulators
def test_payloads_wider_than_their_port_are_masked(simulator: Simulator) -> None:
    stimulus = fifo_stimulus(3, seed=1)
    dirty = {"low": stimulus.beats["in"]["low"] | np.uint64(1 << 7), "high": stimulus.beats["in"]["high"].copy()}
    dirty["high"][:, 1] |= np.uint64(1 << 40)
    (response,) = simulator.run(FIFO, [Stimulus({"in": dirty}, {"out": 3})])
    np.testing.assert_array_equal(response.payloads["out"]["data"], expected_words(stimulus))


@simulators
def test_a_stimulus_that_stops_in_the_middle_leaves_nothing_behind(simulator: Simulator) -> None:
    # two beats stay inside: the sink is not ready for longer than the run
    first = replace(fifo_stimulus(2, seed=1), outputs={"out": 0}, ready={"out": np.zeros(200, np.uint8)})
    second = fifo_stimulus(5, seed=2)
    responses = simulator.run(FIFO, [first, second])
    np.testing.assert_array_equal(responses[1].payloads["out"]["data"], expected_words(second))


@simulators
def test_no_stimulus_gives_no_response(simulator: Simulator) -> None:
    assert simulator.run(FIFO, []) == []


@simulators
def test_an_empty_stimulus_takes_no_cycle(simulator: Simulator) -> None:
    (response,) = simulator.run(FIFO, [fifo_stimulus(0, seed=0)])
    assert response.cycles_total == 0


@simulators
def test_a_hung_unit_is_reported_with_the_streams_that_wait(simulator: Simulator) -> None:
    beats = {"in": {"a": words([1, 2, 3, 4])}}
    message = r"^stuck: stimulus 0: no transfer since cycle 1; waiting: in \(2 of 4 beats\), out \(0 of 4 beats\)$"
    with pytest.raises(SimulatorError, match=message):
        simulator.run(stuck_unit(), [Stimulus(beats, {"out": 4})])


@simulators
def test_a_beat_too_many_is_reported(simulator: Simulator) -> None:
    stimulus = replace(fifo_stimulus(3, seed=0), outputs={"out": 2})
    message = r"^fifo: stimulus 1: stream out sends more than the 2 expected beats, in cycle 3$"
    with pytest.raises(SimulatorError, match=message):
        simulator.run(FIFO, [fifo_stimulus(3, seed=0), stimulus])


@simulators
def test_waveform_of_one_stimulus(simulator: Simulator, tmp_path: Path) -> None:
    vcd = tmp_path / "fifo.vcd"
    (response,) = simulator.run(FIFO, [fifo_stimulus(2, seed=0)], vcd=vcd)
    assert response.payloads["out"]["data"].shape == (2, 2)
    text = vcd.read_text()
    assert "level" in text
    assert "in_ready" in text
    assert text.count("\n#") > 2 * response.cycles_total
    assert [p.name for p in tmp_path.iterdir()] == ["fifo.vcd"]


@simulators
def test_a_waveform_needs_a_single_stimulus(simulator: Simulator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^fifo: number of stimuli with a waveform, got 2, allowed: 1$"):
        simulator.run(FIFO, [fifo_stimulus(1, 0)] * 2, vcd=tmp_path / "x.vcd")


@simulators
def test_stimuli_that_do_not_fit_are_refused(simulator: Simulator) -> None:
    good = fifo_stimulus(2, seed=0)
    wrong = {
        r"^fifo, stimulus 0: input streams, got \['inn'\], allowed: in$": replace(good, beats={"inn": {}}),
        r"^fifo, stimulus 0: output streams, got \[\], allowed: out$": replace(good, outputs={}),
        r"^fifo, stimulus 0: fields of in, got \['low'\], allowed: low, high$": replace(
            good, beats={"in": {"low": words([1])}}
        ),
        r"^fifo, stimulus 0: payload of in.high, got 'uint64\[2, 1\]', allowed: uint64\[2, 2\]$": replace(
            good, beats={"in": {"low": words([1, 2]), "high": words([1, 2])}}
        ),
    }
    for message, stimulus in wrong.items():
        with pytest.raises(InputError, match=message):
            simulator.run(FIFO, [stimulus])


def test_simulators_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(simulator_by_name("myhdl"), MyhdlSimulator)
    with pytest.raises(
        InputError, match=r"^simulator: unknown simulator, got 'spice', allowed: auto, verilator, myhdl$"
    ):
        simulator_by_name("spice")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert available_simulators() == ("myhdl",)
    assert simulator_by_name("auto").name == "myhdl"
    message = (
        r"^simulator: simulator not found \(.*apt-get install verilator g\+\+\), got 'verilator', allowed: auto, m"
    )
    with pytest.raises(InputError, match=message):
        simulator_by_name("verilator")


@needs_verilator
def test_auto_is_verilator_where_it_is_installed() -> None:
    assert simulator_by_name("auto").name == "verilator"


def test_a_failing_worker_shows_the_end_of_its_log() -> None:
    broken = replace(FIFO, parameters={"no_such_parameter": 1})
    with pytest.raises(SimulatorError, match=r"(?s)^fifo: .*myhdl_worker failed:\n.*no_such_parameter"):
        MyhdlSimulator().run(broken, [fifo_stimulus(1, 0)])


@needs_verilator
def test_a_failing_build_shows_the_end_of_its_log_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H2LEARN_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "VERILATOR_FLAGS", ("--no-such-flag",))
    monkeypatch.setattr(build, "_runtime_objects", lambda verilator: [])
    with pytest.raises(SimulatorError, match=r"(?s)^fifo: verilator failed:\n.*no-such-flag"):
        build.build_unit(FIFO)
    assert list(tmp_path.iterdir()) == []


@needs_verilator
def test_an_unwritable_cache_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("H2LEARN_CACHE", str(blocked / "cache"))
    with pytest.raises(InputError, match=r"^H2LEARN_CACHE: cache folder is not writable \(.*\), got '.*file'?"):
        build.build_unit(FIFO)


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("H2LEARN_CACHE", raising=False)
    assert build.cache_folder() == tmp_path / "h2learn"
    monkeypatch.setenv("H2LEARN_CACHE", str(tmp_path / "own"))
    assert build.cache_folder() == tmp_path / "own"


@needs_verilator
def test_builds_are_cached_by_content_and_may_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = build._runtime_objects(build.require_verilator())
    headers = build._precompiled_headers(build.require_verilator(), build.BATCH_OPTIMISATION)
    monkeypatch.setattr(build, "_runtime_objects", lambda verilator: runtime)
    monkeypatch.setattr(build, "_precompiled_headers", lambda verilator, optimisation: headers)
    monkeypatch.setenv("H2LEARN_CACHE", str(tmp_path))
    built: list[Path] = []
    threads = [threading.Thread(target=lambda: built.append(build.build_unit(FIFO))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built[0] == built[1]
    assert [p.name for p in tmp_path.iterdir()] == [built[0].parent.name]  # nothing half-built remains
    assert {p.name for p in built[0].parent.iterdir()} == {"unit.v", built[0].name}
    monkeypatch.setattr(build, "call_worker", lambda *_: pytest.fail("built again"))
    assert build.build_unit(FIFO) == built[0]
    with pytest.raises(pytest.fail.Exception, match="built again"):
        build.build_unit(fifo_unit(DEPTH * 2))


@needs_verilator
def test_poke_peek_clock_and_waveform_by_hand(tmp_path: Path) -> None:
    vcd = tmp_path / "hand.vcd"
    with open_interactive(FIFO, vcd) as fifo:
        assert fifo.peek("out_valid") == 0
        assert fifo.ports["in_high"] == 93
        high = 0x1234_5678_9ABC_DEF0_1234_567
        for port, value in {"in_low": 0xFF, "in_high": high, "in_valid": 1}.items():
            fifo.poke(port, value)
        fifo.clock()
        fifo.poke("in_valid", 0)
        assert fifo.peek("out_valid") == 1
        assert fifo.peek("out_data") == high << 7 | 0x7F  # 0xff is masked to the 7 bits of the port
        fifo.poke("out_ready", 1)
        fifo.clock(2)
        assert fifo.peek("out_valid") == 0
        with pytest.raises(InputError, match=r"^fifo: not an input port, got 'out_data', allowed: clk, "):
            fifo.poke("out_data", 1)
        with pytest.raises(InputError, match=r"^fifo: not a port, got 'level', allowed: clk, "):
            fifo.peek("level")
    assert vcd.read_text().count("\n#") > 8


@needs_verilator
def test_several_models_of_one_process_do_not_share_state() -> None:
    a, b = open_interactive(FIFO), open_interactive(FIFO)
    a.poke("in_valid", 1)
    a.clock()
    assert (a.peek("out_valid"), b.peek("out_valid")) == (1, 0)


@needs_verilator
def test_different_units_live_side_by_side() -> None:
    from rtl_models.formats import BINARY16

    adder = adder_unit(BINARY16)
    one = Stimulus({"in": {"a": words([0x3C00]), "b": words([0x3C00])}}, {"out": 1})
    simulator = VerilatorSimulator()
    for _ in range(2):
        assert simulator.run(adder, [one])[0].payloads["out"]["sum"].tolist() == [[0x4000]]
        stimulus = fifo_stimulus(4, seed=3)
        np.testing.assert_array_equal(
            simulator.run(FIFO, [stimulus])[0].payloads["out"]["data"], expected_words(stimulus)
        )
