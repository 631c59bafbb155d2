"""Streams of events, and the binary spikes that a network takes of them.

An event says that the light on one pixel of an event camera became brighter (ON) or darker (OFF) at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError

POLARITIES = 2  # channel 0 holds OFF events, channel 1 ON events
Sensor = tuple[int, int]  # rows and columns of pixels


@dataclass(frozen=True)
class Events:
    """Events in no particular order: `time_us`, `y`, `x` and polarity `on` (0 or 1), each [N]."""

    time_us: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    on: NDArray[np.int64]

    def check(self, sensor: Sensor, where: str) -> None:
        """Raise InputError for the first event that lies outside the sensor; `where` names the file."""
        outside = (self.y < 0) | (self.y >= sensor[0]) | (self.x < 0) | (self.x >= sensor[1])
        if outside.any():
            first = int(outside.argmax())
            got = f"y {self.y[first]}, x {self.x[first]}"
            allowed = f"y 0..{sensor[0] - 1}, x 0..{sensor[1] - 1}"
            raise InputError("an event lies outside the sensor", f"{where}: event {first}", got, allowed)

    def window(self) -> tuple[int, int]:
        """The time from the first event to just after the last, in microseconds; there must be one."""
        return int(self.time_us.min()), int(self.time_us.max()) + 1


def bin_events(
    events: Events, window: tuple[int, int], timesteps: int, sensor: Sensor, plane: Sensor
) -> NDArray[np.uint8]:
    """Return spikes [T, H, W, 2]: 1 where at least one event of this polarity fell into the bin and the pixels.

    The `window` [start, end) in microseconds is cut into `timesteps` equal bins, whole microseconds going to the bin
    that they start in; events outside it are left out. A spike stands for a rectangle of pixels of the `sensor`, whose
    rows and columns `plane` divides.
    """
    start, end = window
    inside = (events.time_us >= start) & (events.time_us < end)
    bins = (events.time_us[inside] - start) * timesteps // (end - start)
    rows = events.y[inside] // (sensor[0] // plane[0])
    columns = events.x[inside] // (sensor[1] // plane[1])
    spikes = np.zeros((timesteps, *plane, POLARITIES), np.uint8)
    spikes[bins, rows, columns, events.on[inside]] = 1
    return spikes


def divides(plane: Sensor, sensor: Sensor) -> bool:
    """Whether pixels of the sensor can be grouped into rectangles that make `plane`."""
    return sensor[0] % plane[0] == 0 and sensor[1] % plane[1] == 0
