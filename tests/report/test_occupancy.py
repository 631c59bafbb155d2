"""Occupancy of a step: it changes nothing, stays within every capacity, and becomes tracks and signals that agree."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vcd.reader import TokenKind, tokenize

from tests.end_to_end.steps import BUFFERS, small_buffers
from tests.report.conftest import Run
from tlm.kernel.account import State
from tlm.report import counters, waveform
from tlm.report.buffer_use import buffer_use
from tlm.report.counters import channel_levels, occupancy_counters
from tlm.report.steps import Steps, total
from tlm.report.waveform import STATES, write_waveform
from tlm.simulation import simulate
from workloads.network import INPUT

RESIDUAL = ("spikes", "residual", 2)
SETTINGS = {
    "large": (),
    "small": small_buffers(RESIDUAL, *BUFFERS),
    "recompute": ("potentials=recompute",),
    "flight": (
        "micro_batches_in_flight=3",
        "host.round_trip_ps=5000000",
        "dram.interleave_bytes=32",
        "dram.model=banked",
    ),
}


@pytest.fixture(scope="module", params=SETTINGS)
def run(request: pytest.FixtureRequest) -> Run:
    return Run(RESIDUAL, *SETTINGS[request.param])


def test_it_changes_no_result_and_is_kept_only_where_asked_for(run: Run) -> None:
    plain = simulate(run.trace, run.config)
    assert plain.occupancy is None
    assert (plain.time_ps, plain.transfers, plain.intervals) == (
        run.result.time_ps,
        run.result.transfers,
        run.result.intervals,
    )


def test_levels_stay_within_capacity_and_end_empty_but_for_weights_and_last_reads(run: Run) -> None:
    assert run.result.occupancy is not None
    for part in run.result.occupancy.levels.values():
        assert 0 <= part.levels.min() <= part.levels.max() <= part.capacity
        assert part.times_ps[-1] <= run.result.time_ps
        if part.kind != "read ahead":
            assert part.levels[-1] == 0


def test_buffers_hold_no_more_than_the_plan_gives_them(run: Run) -> None:
    assert run.result.occupancy is not None
    found = buffer_use(run.result, run.result.occupancy, run.trace.network)
    placement = run.result.placement
    assert {*BUFFERS, "output", "backward_sums"} == found.keys()
    for buffer, kinds in found.items():
        capacity = getattr(run.config.buffers, f"{buffer}_bytes")
        peak = total(kinds.values()).values.max()
        assert 0 < peak <= placement.used_bytes.get(buffer, capacity) <= capacity
        assert min(steps.values.min() for steps in kinds.values()) >= 0


def test_resident_tensors_fill_their_rooms_where_all_micro_batches_are_in_flight() -> None:
    run = Run(RESIDUAL, *SETTINGS["flight"])
    assert run.result.occupancy is not None
    placement = run.result.placement
    kinds = buffer_use(run.result, run.result.occupancy, run.trace.network)["spikes"]
    rooms = [t.size_bytes * t.copies for key, t in placement.tensors.items() if key in placement.resident]
    assert ("inputs", INPUT) in placement.resident
    assert kinds["tensors"].values.max() == placement.used_bytes["spikes"] <= sum(rooms)


def events_of(run: Run) -> list[dict[str, Any]]:
    assert run.result.occupancy is not None
    events = list(occupancy_counters(run.result, run.result.occupancy, run.trace.network))
    json.dumps(events, allow_nan=False)
    return events


def test_counters_are_every_change_of_the_levels(run: Run) -> None:
    assert run.result.occupancy is not None
    tracks = defaultdict(list)
    for event in events_of(run):
        assert (event["ph"], event["args"].keys()) == ("C", tracks.get(event["name"], [event])[0]["args"].keys())
        tracks[event["name"]].append(event)
    for name, series in channel_levels(run.result.occupancy).items():
        steps = series["level"]
        seen = [(event["ts"] * 1e6, event["args"]["level"]) for event in tracks[name]]
        inside = steps.times_ps < run.result.time_ps
        assert np.allclose(seen, np.stack([steps.times_ps[inside], steps.values[inside]], axis=1))
    assert tracks["output, bytes"][0]["args"].keys() == {"sums"}
    assert "weight_update.transposition.ready*, tokens" in tracks
    assert ("channel 0 queued bursts" in tracks) == (run.config.dram.model == "banked")


def test_a_track_of_many_changes_becomes_means_and_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MOST_CHANGES", 20)
    monkeypatch.setattr(counters, "BINS", 10)
    many = Steps(np.arange(50) * 20, np.arange(50) % 4)
    events = list(counters.counter(3, "weights, bytes", {"read ahead": many}, 1000))
    assert [event["ts"] * 1e6 for event in events] == pytest.approx(range(0, 1000, 100))
    assert events[0]["args"] == {"read ahead, mean": 1.2, "read ahead, most": 3.0}


def waves(path: Path) -> tuple[dict[str, list[tuple[int, Any]]], int]:
    """Changes (time_ps, value) of every signal of a VCD file by full name, and its last time."""
    names: dict[str, str] = {}
    scope: list[str] = []
    changes: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    time_ps = 0
    with path.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.TIMESCALE:
                assert (token.timescale.magnitude, token.timescale.unit.value) == (1, "ps")
            elif token.kind is TokenKind.SCOPE:
                scope.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scope.pop()
            elif token.kind is TokenKind.VAR:
                names[token.var.id_code] = ".".join([*scope, token.var.reference])
            elif token.kind is TokenKind.CHANGE_TIME:
                time_ps = token.time_change
            elif token.kind in (TokenKind.CHANGE_VECTOR, TokenKind.CHANGE_REAL, TokenKind.CHANGE_STRING):
                change = token.data
                changes[names[change.id_code]].append((time_ps, change.value))
            elif token.kind is TokenKind.CHANGE_SCALAR:  # of a signal of one bit
                changes[names[token.scalar_change.id_code]].append((time_ps, int(token.scalar_change.value)))
    assert changes.keys() == set(names.values())
    return dict(changes), time_ps


def test_the_waveform_holds_the_intervals_and_the_levels(run: Run, tmp_path: Path) -> None:
    assert run.result.occupancy is not None
    path = tmp_path / "chip.vcd"
    write_waveform(run.result, run.trace.network, path)
    found, end_ps = waves(path)
    assert end_ps == run.result.time_ps
    for engine, intervals in run.result.intervals.items():
        scope = "chip.weight_update.transposition" if engine == "transposition" else f"chip.{engine}"
        words = [(i.start_ps, i.activity.replace(" ", r"\x20")) for i in intervals]
        assert found[f"{scope}.activity"] == words
        codes = [(i.start_ps, STATES[i.state]) for i in intervals]
        assert found[f"{scope}.code"] == [c for n, c in enumerate(codes) if not n or codes[n - 1][1] != c[1]]
    for name, part in run.result.occupancy.levels.items():
        assert found[f"{name}_{part.unit}"] == list(zip(part.times_ps.tolist(), part.levels.tolist(), strict=True))
    assert max(value for _, value in found["chip.dram.reads_under_way"]) > 0
    assert all(0 <= value <= 1.01 for _, value in found["chip.dram.channel0.busy_share"])
    assert ("chip.dram.channel0.reads_queued" in found) == (run.config.dram.model == "banked")
    assert Counter(name.split(".")[1] for name in found)["buffers"] >= len(BUFFERS) + 2


def test_a_waveform_without_occupancy_has_the_engines(linear: Run, tmp_path: Path) -> None:
    path = tmp_path / "chip.vcd"
    write_waveform(simulate(linear.trace, linear.config), linear.trace.network, path)
    found, _ = waves(path)
    busy_ps = sum(i.end_ps - i.start_ps for i in linear.result.intervals["forward"] if i.state is State.BUSY)
    assert busy_ps == linear.result.engines["forward"].busy_ps
    assert found.keys() == {
        *(f"chip.{engine}.{signal}" for engine in linear.result.engines for signal in ("code", "activity")),
        "chip.dram.reads_under_way",
        "chip.dram.writes_under_way",
    }


def test_a_signal_that_changes_too_often_says_that_it_shows_peaks(
    linear: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waveform, "MOST_CHANGES", 8)
    path = tmp_path / "chip.vcd"
    write_waveform(linear.result, linear.trace.network, path)
    found, _ = waves(path)
    assert linear.result.occupancy is not None
    peak = linear.result.occupancy.levels["chip.backward.room"].levels.max()
    shown = found["chip.backward.room_bytes_most"]
    assert max(value for _, value in shown) == peak
    assert len(shown) <= 8
