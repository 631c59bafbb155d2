"""Events become binary spikes: by bin and by pixels, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from workloads.events import Events, bin_events, divides

SENSOR = (6, 4)
Row = tuple[int, int, int, int]  # time_us, y, x, on
ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 5), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=30
)
PLANES = st.sampled_from([(6, 4), (3, 2), (2, 4), (6, 1), (1, 1)])


def events_of(rows: list[Row]) -> Events:
    time_us, y, x, on = np.array(rows, np.int64).T
    return Events(time_us, y, x, on)


def spikes_of(rows: list[Row], window: tuple[int, int], timesteps: int, plane: tuple[int, int]) -> set[Row]:
    """Where spikes are, found one event at a time: bin t holds the moments from start + t length / T on."""
    start, end = window
    found = set()
    for time_us, y, x, on in rows:
        for t in range(timesteps):
            if (
                start * timesteps + t * (end - start)
                <= time_us * timesteps
                < start * timesteps + (t + 1) * (end - start)
            ):
                found.add((t, y * plane[0] // SENSOR[0], x * plane[1] // SENSOR[1], on))
    return found


@settings(derandomize=True, deadline=None)
@given(rows=ROWS, start=st.integers(0, 30), length=st.integers(1, 30), timesteps=st.integers(1, 7), plane=PLANES)
def test_spikes_are_those_found_one_by_one(
    rows: list[Row], start: int, length: int, timesteps: int, plane: tuple[int, int]
) -> None:
    window = (start, start + length)
    spikes = bin_events(events_of(rows), window, timesteps, SENSOR, plane)
    assert spikes.shape == (timesteps, *plane, 2)
    assert spikes.dtype == np.uint8
    assert spikes.max() <= 1
    assert set(map(tuple, np.argwhere(spikes).tolist())) == spikes_of(rows, window, timesteps, plane)


@settings(derandomize=True, deadline=None)
@given(rows=ROWS, timesteps=st.integers(1, 7), plane=PLANES, data=st.data())
def test_order_and_repetition_of_events_do_not_matter(
    rows: list[Row], timesteps: int, plane: tuple[int, int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows + rows[:3]))
    window = events_of(rows).window()
    expected = bin_events(events_of(rows), window, timesteps, SENSOR, plane)
    assert np.array_equal(bin_events(events_of(shuffled), window, timesteps, SENSOR, plane), expected)
    assert events_of(shuffled).window() == window


@settings(derandomize=True, deadline=None)
@given(rows=ROWS, timesteps=st.integers(1, 7))
def test_a_smaller_plane_is_the_or_of_its_pixels(rows: list[Row], timesteps: int) -> None:
    window = events_of(rows).window()
    full = bin_events(events_of(rows), window, timesteps, SENSOR, SENSOR)
    small = bin_events(events_of(rows), window, timesteps, SENSOR, (3, 2))
    assert np.array_equal(small, full.reshape(timesteps, 3, 2, 2, 2, 2).max(axis=(2, 4)))


@settings(derandomize=True, deadline=None)
@given(rows=ROWS, timesteps=st.integers(1, 7))
def test_the_window_of_all_events_loses_none(rows: list[Row], timesteps: int) -> None:
    events = events_of(rows)
    spikes = bin_events(events, events.window(), timesteps, SENSOR, SENSOR)
    assert spikes.any(axis=0).sum() == len({row[1:] for row in rows})
    assert spikes[0].any()  # the first event
    assert timesteps > len({row[0] for row in rows}) or spikes[-1].any() or timesteps > events.window()[1]


def test_words_for_events_outside_the_sensor() -> None:
    for rows, got in (([(0, 6, 0, 1)], "y 6, x 0"), ([(0, 5, 3, 0), (9, 0, 4, 0), (9, 7, 0, 0)], "y 0, x 4")):
        place = rf"^f\.bin: event {len(rows) // 2}: an event lies outside the sensor"
        text = rf"{place}, got '{got}', allowed: y 0\.\.5, x 0\.\.3$"
        with pytest.raises(InputError, match=text):
            events_of(rows).check(SENSOR, "f.bin")
    events_of([(0, 5, 3, 0)]).check(SENSOR, "f.bin")


def test_planes_that_divide_a_sensor() -> None:
    assert divides((3, 4), SENSOR)
    assert not divides((4, 4), SENSOR)
    assert not divides((6, 3), SENSOR)
    assert not divides((12, 4), SENSOR)
