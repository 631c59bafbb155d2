"""The timeline: well-formed events within the run, states that add up, bandwidth that integrates to the bytes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.report.conftest import Run
from tlm.report.timeline import bandwidth_by_stream, timeline
from tlm.simulation import DramTransfer


@pytest.fixture(scope="module", params=["linear", "deep"])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "deep":
        return request.getfixturevalue("deep")
    return Run(("spikes", "linear", 2))


@pytest.fixture(scope="module")
def events(run: Run) -> list[dict[str, Any]]:
    content = json.loads(json.dumps(timeline(run.result, run.trace.network), allow_nan=False))
    assert content["displayTimeUnit"] == "ns"
    return content["traceEvents"]


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == kind]


def test_only_known_kinds_and_times_within_the_run(run: Run, events: list[dict[str, Any]]) -> None:
    assert Counter(event["ph"] for event in events).keys() == {"M", "X", "b", "e", "C"}
    end_us = run.result.time_ps / 1e6
    for event in events:
        if event["ph"] != "M":
            assert 0 <= event["ts"] <= event["ts"] + event.get("dur", 0) <= end_us * (1 + 1e-12)


def test_states_of_each_engine_fill_the_run_without_gaps(run: Run, events: list[dict[str, Any]]) -> None:
    names = {e["tid"]: e["args"]["name"] for e in of_kind(events, "M") if e["name"] == "thread_name"}
    assert list(names.values()) == list(run.result.engines)
    tracks = defaultdict(list)
    for event in of_kind(events, "X"):
        tracks[event["tid"]].append(event)
    assert tracks.keys() == names.keys()
    for thread, track in tracks.items():
        time_us = 0.0
        for event in track:
            assert event["dur"] > 0
            assert event["ts"] == pytest.approx(time_us)
            time_us = event["ts"] + event["dur"]
        assert time_us == pytest.approx(run.result.time_ps / 1e6)
        busy_us = sum(event["dur"] for event in track if event["cat"] == "busy")
        assert busy_us == pytest.approx(run.result.engines[names[thread]].busy_ps / 1e6)


def test_every_stream_begins_and_ends_once(run: Run, events: list[dict[str, Any]]) -> None:
    begins = {(e["cat"], e["id"]): e for e in of_kind(events, "b")}
    ends = {(e["cat"], e["id"]): e for e in of_kind(events, "e")}
    assert begins.keys() == ends.keys()
    assert len(begins) == len(of_kind(events, "b")) == len(of_kind(events, "e")) == len(run.result.spans)
    for key, begin in begins.items():
        assert begin["name"] == ends[key]["name"]
        assert begin["ts"] <= ends[key]["ts"]


def test_bandwidth_integrates_to_the_bytes(run: Run, events: list[dict[str, Any]]) -> None:
    counters = [event for event in of_kind(events, "C") if event["name"] == "GB/s"]
    bin_us = counters[1]["ts"] - counters[0]["ts"]
    moved: Counter[str] = Counter()
    for event in counters:
        for stream, rate in event["args"].items():
            moved[stream] += rate * 1e3 * bin_us  # GB/s x us = 1000 bytes
    for stream, read in run.result.dram_read_bytes.items():
        assert moved[stream] == pytest.approx(read + run.result.dram_written_bytes[stream], rel=1e-3)


def test_a_transfer_is_spread_over_the_bins_it_touches() -> None:
    transfers = [DramTransfer("a", 300, 50, 200), DramTransfer("b", 10, 100, 101)]
    assert bandwidth_by_stream(transfers, 100, 250) == {"a": [1000.0, 2000.0, 0.0], "b": [0.0, 100.0, 0.0]}
