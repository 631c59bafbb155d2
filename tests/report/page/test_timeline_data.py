"""The timeline of a page: the same times as `timeline.json`, also where neighbours are shown together."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.report.conftest import Run
from tlm.report.page import timeline_data as module
from tlm.report.page.timeline_data import Piece, merge, timeline_data


def booked(track: dict[str, Any], labels: list[dict[str, str]]) -> Counter[str]:
    """Picoseconds of each state of a track, as the script adds them up."""
    found: Counter[str] = Counter()
    for length, state in zip(track["lengths"], track["states"], strict=True):
        parts = [state, length] if isinstance(state, int) else state
        assert sum(parts[1::2]) == length
        for number, ps in zip(parts[::2], parts[1::2], strict=True):
            found[labels[number]["name"]] += ps
    return found


@pytest.mark.parametrize("most", [8_000, 5])
def test_states_add_up_to_the_engines_times(
    run: Run, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(module, "MOST_INTERVALS", most)
    data = timeline_data(events)
    tracks = {track["name"]: track for track in data["tracks"] if track["kind"] == "states"}
    assert tracks.keys() == run.result.engines.keys()
    assert data["end"] == run.result.time_ps
    for name, engine in run.result.engines.items():
        found = booked(tracks[name], data["labels"])
        assert found["busy"] == engine.busy_ps
        assert found["starved: tile dependency"] == engine.starved_ps.get("tile dependency", 0)
        assert sum(found.values()) == engine.total_ps
        assert len(tracks[name]["states"]) <= most
        assert (tracks[name]["merged"] > 0) is (len(run.result.intervals[name]) > most)


def test_only_short_neighbours_are_joined() -> None:
    rng = random.Random(0)
    pieces = [Piece(length, {rng.choice("ab"): length}) for length in rng.choices([1, 2, 3, 500], [5, 5, 5, 1], k=1000)]
    joined, resolution_ps = merge(pieces, 200)
    assert len(joined) <= 200
    total: Counter[str] = Counter()
    for piece in joined:
        assert sum(piece.parts.values()) == piece.length_ps
        total.update(piece.parts)
    assert total == sum((Counter(piece.parts) for piece in pieces), Counter())
    long = [piece for piece in joined if piece.length_ps >= 2 * resolution_ps]
    assert len(long) == sum(piece.length_ps == 500 for piece in pieces)
    assert all(len(piece.parts) == 1 for piece in long)


def test_colours_tell_the_states_apart() -> None:
    causes = [f"starved: {letter}" for letter in "abcdefgh"] + ["starved: no work left", "blocked: a", "blocked: b"]
    events = [
        {"ph": "X", "name": name, "pid": 1, "tid": 1, "ts": number, "dur": 1 + number / 100}
        for number, name in enumerate([*causes, "busy"])
    ]
    labels = timeline_data(events)["labels"]
    assert labels[0] == {"name": "busy", "colour": "busy"}
    colours = {label["name"]: label["colour"] for label in labels}
    assert len(set(colours.values())) == 12
    assert colours["starved: no work left"] == "done"
    assert (colours["starved: h"], colours["starved: a"], colours["blocked: b"]) == ("wait0", "wait7", "block0")


def test_streams_of_a_lane_do_not_overlap(events: list[dict[str, Any]], run: Run) -> None:
    tracks = [track for track in timeline_data(events)["tracks"] if track["kind"] == "streams"]
    assert sum(len(track["names"]) for track in tracks) == len(run.result.spans)
    for track in tracks:
        free = [0] * track["rows"]
        for start, length, lane in zip(track["starts"], track["lengths"], track["lanes"], strict=True):
            assert free[lane] <= start
            free[lane] = start + length


def counter(times_us: list[float], values: list[float]) -> list[dict[str, Any]]:
    common = {"ph": "C", "name": "bytes", "pid": 7}
    return [{**common, "ts": ts, "args": {"in use": value}} for ts, value in zip(times_us, values, strict=True)]


def test_a_counter_holds_its_values_and_names_its_process() -> None:
    name = {"ph": "M", "name": "process_name", "pid": 7, "args": {"name": "buffers"}}
    end = {"ph": "X", "name": "busy", "pid": 1, "tid": 1, "ts": 0, "dur": 10}
    (_, track) = timeline_data([name, end, *counter([0, 2.5], [4, 1.25])])["tracks"]
    assert track == {
        "kind": "counter", "group": "buffers", "name": "bytes", "series": ["in use"], "starts": [0, 2_500_000],
        "values": [[4, 1.25]], "most": [4, 1.25],
    }  # fmt: skip


def test_a_long_counter_keeps_its_mean_and_its_highest_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 3)
    end = {"ph": "X", "name": "busy", "pid": 1, "tid": 1, "ts": 0, "dur": 12}
    (_, track) = timeline_data([end, *counter([0, 1, 4, 5, 9], [8, 2, 6, 0, 3])])["tracks"]
    assert track["starts"] == [0, 4_000_000, 8_000_000]
    assert track["values"] == [[(8 + 3 * 2) / 4, 6 / 4, 3 * 3 / 4]]
    assert track["most"] == [8, 6, 3]


def test_means_and_largest_values_of_bins_become_one_series() -> None:
    common = {"ph": "C", "name": "queue", "pid": 7, "ts": 0}
    end = {"ph": "X", "name": "busy", "pid": 1, "tid": 1, "ts": 0, "dur": 12}
    args = {"reads, mean": 1.5, "reads, most": 4, "writes, mean": 0.25, "writes, most": 1}
    (_, track) = timeline_data([end, {**common, "args": args}])["tracks"]
    assert (track["series"], track["values"], track["most"]) == (["reads", "writes"], [[1.5], [0.25]], [5])
