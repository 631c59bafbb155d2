"""The timeline as the page draws it: tracks of states, streams and counters, no more intervals than a page should hold.

Where an engine has more intervals than that, neighbours shorter than some resolution become one that says how much of
it each state took; of a counter's neighbours the mean and the highest sum are kept. Nothing is left out.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tlm.kernel.account import FINISHED, State
from tlm.report.counters import PS_PER_US

Event = dict[str, Any]
Track = dict[str, Any]

MOST_INTERVALS = 8_000
"""Intervals of an engine; eight engines of as many mixed ones take about 3 MB."""
MOST_POINTS = 2_000
"""Points of a counter: more than a wide screen has columns."""
MEAN, LARGEST = ", mean", ", most"
"""What `tlm.report.counters` adds to the names of series."""
_ONE_CHANNEL = re.compile(r"channel \d+ ")
_COLOURS = {str(State.STARVED): ("wait", 8), str(State.BLOCKED): ("block", 3)}
"""Names and number of the style sheet's colours for the causes of each state."""


class Piece(NamedTuple):
    """A stretch of time and the picoseconds of each state in it."""

    length_ps: int
    parts: dict[str, int]


def timeline_data(events: Sequence[Event]) -> dict[str, Any]:
    """Return what `timeline.js` reads, from the Trace Events of `timeline.json`."""
    names = {(e["name"], e["pid"], e.get("tid")): e["args"].get("name") for e in events if e["ph"] == "M"}
    states = _by(events, "X", "tid")
    end_ps = max((_ps(e["ts"] + e.get("dur", 0)) for e in events if e["ph"] != "M"), default=0)
    booked: Counter[str] = Counter()
    for event in (event for track in states.values() for event in track):
        booked[event["name"]] += _ps(event["dur"])
    labels = [str(State.BUSY), *sorted(booked.keys() - {str(State.BUSY)}, key=lambda name: (-booked[name], name))]
    tracks = [
        _state_track(names.get(("thread_name", pid, tid)) or f"{pid}.{tid}", track, labels)
        for (pid, tid), track in states.items()
    ]
    counters = [
        _counter_track(_group(names.get(("process_name", pid, None)) or str(pid), name), name, track, end_ps)
        for (pid, name), track in _by(events, "C", "name").items()
    ]
    groups = list(dict.fromkeys(track["group"] for track in counters))
    counters.sort(key=lambda track: groups.index(track["group"]))
    return {"end": end_ps, "labels": _coloured(labels), "tracks": [*tracks, *_stream_tracks(events), *counters]}


def _by(events: Sequence[Event], kind: str, key: str) -> dict[tuple[int, Any], list[Event]]:
    """Events of one kind by process and `key`."""
    found: defaultdict[tuple[int, Any], list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == kind:
            found[event["pid"], event[key]].append(event)
    return found


def _ps(us: float) -> int:
    return round(us * PS_PER_US)


def _coloured(labels: list[str]) -> list[dict[str, str]]:
    """Give every state a colour of the style sheet: the causes of each in turn, the end of all work a pale one."""
    used: Counter[str] = Counter()
    coloured = []
    for label in labels:
        state, _, reason = label.partition(": ")
        colour = "busy"
        if reason == FINISHED:
            colour = "done"
        elif state in _COLOURS:
            name, number = _COLOURS[state]
            colour = f"{name}{min(used[state], number - 1)}"
            used[state] += 1
        coloured.append({"name": label, "colour": colour})
    return coloured


def _state_track(name: str, events: list[Event], labels: list[str]) -> Track:
    pieces = [Piece(_ps(event["dur"]), {event["name"]: _ps(event["dur"])}) for event in events]
    merged, resolution_ps = merge(pieces, MOST_INTERVALS)
    number = {label: index for index, label in enumerate(labels)}
    return {
        "kind": "states",
        "group": "engines",
        "name": name,
        "start": _ps(events[0]["ts"]),
        "merged": resolution_ps,
        "lengths": [piece.length_ps for piece in merged],
        "states": [_encoded(piece, number) for piece in merged],
    }


def _encoded(piece: Piece, number: dict[str, int]) -> int | list[int]:
    """The number of the one state, or [state, picoseconds, state, picoseconds, ...]."""
    if len(piece.parts) == 1:
        return number[next(iter(piece.parts))]
    return [value for label, ps in sorted(piece.parts.items()) for value in (number[label], ps)]


def merge(pieces: Sequence[Piece], most: int) -> tuple[Sequence[Piece], int]:
    """Join neighbours until there are at most `most`; return them and the length below which they were joined.

    No joined piece is shorter than that, except before a longer one and at the end.
    """
    if len(pieces) <= most:
        return pieces, 0
    resolution_ps = max(1, sum(piece.length_ps for piece in pieces) // most)
    while True:
        joined = list(_joined(pieces, resolution_ps))
        if len(joined) <= most:
            return joined, resolution_ps
        resolution_ps += resolution_ps // 4 + 1


def _joined(pieces: Iterable[Piece], resolution_ps: int) -> Iterable[Piece]:
    length_ps, parts = 0, Counter[str]()
    for piece in pieces:
        if length_ps and (piece.length_ps >= resolution_ps or length_ps >= resolution_ps):
            yield Piece(length_ps, dict(parts))
            length_ps, parts = 0, Counter()
        length_ps += piece.length_ps
        parts.update(piece.parts)
    if length_ps:
        yield Piece(length_ps, dict(parts))


def _stream_tracks(events: Sequence[Event]) -> list[Track]:
    """One track a category; streams that overlap lie in lanes."""
    ends = {(e["pid"], e["cat"], e["id"]): _ps(e["ts"]) for e in events if e["ph"] == "e"}
    tracks: dict[str, Track] = {}
    for event in (event for event in events if event["ph"] == "b"):
        track = tracks.setdefault(event["cat"], _empty_streams(event["cat"]))
        start, end = _ps(event["ts"]), ends[event["pid"], event["cat"], event["id"]]
        lane = next((n for n, free in enumerate(track["free"]) if free <= start), len(track["free"]))
        track["free"][lane : lane + 1] = [end]
        for key, value in (("starts", start), ("lengths", end - start), ("lanes", lane), ("names", event["name"])):
            track[key].append(value)
    return [{**track, "rows": len(track.pop("free"))} for track in tracks.values()]


def _empty_streams(category: str) -> Track:
    columns: dict[str, list[Any]] = {key: [] for key in ("starts", "lengths", "lanes", "names", "free")}
    return {"kind": "streams", "group": "streams", "name": category, **columns}


def _group(process: str, name: str) -> str:
    """What a counter is shown and hidden with: its process, or those of single channels for themselves."""
    return f"{process} channels" if _ONE_CHANNEL.match(name) else process


def _counter_track(group: str, name: str, events: list[Event], end_ps: int) -> Track:
    """Every value holds until the next event; steps of equal length replace events where these are too many.

    Series that are the mean and the largest value of a step already ("reads, mean", "reads, most") become one.
    """
    keys = list(dict.fromkeys(key for event in events for key in event["args"]))
    series = [key for key in keys if not key.endswith(LARGEST)]
    highest = [key.removesuffix(MEAN) + LARGEST if key.endswith(MEAN) else key for key in series]
    starts = [_ps(event["ts"]) for event in events]
    rows = [[float(event["args"].get(key, 0)) for key in series] for event in events]
    most = [sum(float(event["args"].get(key, 0)) for key in highest) for event in events]
    if len(starts) > MOST_POINTS:
        starts, rows, most = _binned(starts, rows, most, end_ps)
    return {
        "kind": "counter",
        "group": group,
        "name": name,
        "series": [key.removesuffix(MEAN) for key in series],
        "starts": starts,
        "values": [[_rounded(row[column]) for row in rows] for column in range(len(series))],
        "most": [_rounded(value) for value in most],
    }


def _binned(
    starts: list[int], rows: list[list[float]], most: list[float], end_ps: int
) -> tuple[list[int], list[list[float]], list[float]]:
    """Return starts, mean by series and highest sum of steps of equal length."""
    first = starts[0]
    step = max(1, -(-(end_ps - first) // MOST_POINTS))
    count = -(-(end_ps - first) // step)
    means = [[0.0] * len(rows[0]) for _ in range(count)]
    highest = [0.0] * count
    for (start, end), row, total in zip(pairwise([*starts, end_ps]), rows, most, strict=True):
        for number in range((start - first) // step, min(count, -(-(end - first) // step))):
            left = first + number * step
            width = min(left + step, end_ps) - left
            shared = (min(end, left + width) - max(start, left)) / width
            means[number] = [mean + shared * value for mean, value in zip(means[number], row, strict=True)]
            highest[number] = max(highest[number], total)
    return [first + number * step for number in range(count)], means, highest


def _rounded(value: float) -> float:
    """Whole numbers as they are, others with five digits: a page of many numbers is smaller."""
    return int(value) if value.is_integer() else float(f"{value:.5g}")
