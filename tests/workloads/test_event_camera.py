"""The model of an event camera, against a pixel followed one frame at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workloads import event_camera
from workloads.event_camera import CONTRAST_THRESHOLD, brightness, count_events

COURSES = st.lists(st.floats(0, 255), min_size=2, max_size=12)


def follow(course: list[float]) -> list[int]:
    """Events of one pixel, one at a time: memory moves by one threshold with each."""

    def level(intensity: float) -> int:
        return round(65536 * (intensity * math.log(20) / 20 if intensity <= 20 else math.log(intensity)))

    threshold = round(65536 * CONTRAST_THRESHOLD)
    memory, counts = level(course[0]), []
    for intensity in course[1:]:
        count = 0
        while level(intensity) - memory >= threshold:
            memory += threshold
            count += 1
        while memory - level(intensity) >= threshold:
            memory -= threshold
            count -= 1
        counts.append(count)
    return counts


def frames_of(course: list[float]) -> NDArray[np.float64]:
    return np.array(course, np.float64).reshape(-1, 1, 1)


@settings(derandomize=True, deadline=None)
@given(COURSES)
def test_a_pixel_gives_the_events_found_one_by_one(course: list[float]) -> None:
    assert count_events(frames_of(course))[:, 0, 0].tolist() == follow(course)


@settings(derandomize=True, deadline=None)
@given(COURSES)
def test_memory_stays_within_a_threshold_of_brightness(course: list[float]) -> None:
    frames = frames_of(course)
    seen = np.cumsum(count_events(frames), axis=0) * CONTRAST_THRESHOLD
    change = (brightness(frames)[1:] - brightness(frames)[:1]) / 65536
    assert (np.abs(change - seen) < CONTRAST_THRESHOLD + 1e-3).all()


@settings(derandomize=True, deadline=None)
@given(COURSES)
def test_polarity_follows_the_change(course: list[float]) -> None:
    counts = count_events(frames_of(sorted(course)))
    assert (counts >= 0).all()
    assert (count_events(frames_of(sorted(course, reverse=True))) <= 0).all()
    assert not count_events(frames_of([course[0]] * 4)).any()


def test_brightness_is_linear_then_logarithmic_and_rises() -> None:
    levels = brightness(np.linspace(0, 255, 5000)) / 65536
    assert (np.diff(levels) >= 0).all()
    at = brightness(np.array([0.0, 10.0, 20.0, 40.0, 255.0])) / 65536
    expected = [0.0, math.log(20) / 2, math.log(20), math.log(40), math.log(255)]
    assert at.tolist() == pytest.approx(expected, abs=1e-5)


def test_equal_contrast_gives_equal_events_at_any_brightness() -> None:
    dim, bright = (count_events(frames_of([level, level * 2.2])) for level in (25.0, 110.0))
    assert dim == bright == math.floor(math.log(2.2) / 0.2)


def test_events_fall_with_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    frames = rng.uniform(20, 255, (20, 8, 8))
    totals = []
    for units in (6554, 13107, 26214, 10**9):
        monkeypatch.setattr(event_camera, "_THRESHOLD", units)
        totals.append(int(np.abs(count_events(frames)).sum()))
    assert all(a > b for a, b in pairwise(totals))
    assert totals[-1] == 0
