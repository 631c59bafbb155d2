"""Event data as the package tonic holds it: recordings, transforms and slicers become samples of spikes.

Anything with `len` and items (events, label) will do: a data set of tonic, a `tonic.SlicedDataset` of one, a
`tonic.CachedDataset`, or an object of one's own. Events are a structured array with x, y, t in microseconds and p; a
transform may turn them into other events, or into frames [T, P, H, W] (tonic's `ToFrame`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.dataset import Dataset, Samples, SampleSource, Split, Unchanged, frozen
from workloads.events import POLARITIES, Events, Sensor, bin_events, divides
from workloads.network import SPIKES

_FIELDS = ("x", "y", "t", "p")
_UNREADABLE = (OSError, ValueError, IndexError, KeyError, EOFError, struct.error)
"""What tonic's readers raise for files that are missing, cut off or of another format."""

Transform = Callable[[Any], Any]


class Recordings(Protocol):
    """What tonic calls a data set."""

    def __len__(self) -> int:
        """Return how many recordings there are."""

    def __getitem__(self, index: int, /) -> tuple[Any, Any]:
        """Return events and label of one."""


class TonicSamples:
    """Recordings as samples of spikes [T, H, W, 2] that are read when they are taken.

    Events are checked against the `sensor` (rows, columns), whose rows and columns `plane` divides; from the first
    to the last one they fill `timesteps` equal bins. Labels come from the recordings' `targets` where these are what
    their items have, else from the items, all of which are read for it. Raises InputError for labels that are no
    classes, and in `take` for recordings that cannot be read, hold no event, or events outside the sensor, with another
    polarity than 0 and 1, or without x, y, t and p.
    """

    def __init__(
        self,
        recordings: Recordings,
        sensor: Sensor,
        plane: Sensor,
        timesteps: int,
        name: str,
        transform: Transform | None,
    ) -> None:
        self._recordings = recordings
        self._sensor = sensor
        self._shape = (timesteps, *plane, POLARITIES)
        self._name = name
        self._transform = transform
        self.labels = np.array([self._label(index, label) for index, label in enumerate(self._targets())], np.int64)
        self.labels.flags.writeable = False

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """Return the chosen samples as spikes [N, T, H, W, 2], read-only."""
        spikes = np.zeros((len(indices), *self._shape), np.uint8)
        for number, index in enumerate(indices):
            recorded, _ = self._item(int(index))
            spikes[number] = self._spikes(recorded, self._where(int(index)))
        return frozen(spikes, self.labels[indices])

    def _where(self, index: int) -> str:
        return f"{self._name}: sample {index}"

    def _item(self, index: int) -> tuple[Any, Any]:
        try:
            recorded, label = self._recordings[index]
            return recorded if self._transform is None else self._transform(recorded), label
        except _UNREADABLE as error:
            raise InputError(f"the recording cannot be read ({error})", self._where(index)) from error

    def _targets(self) -> list[Any]:
        known = getattr(self._recordings, "targets", None)
        changed = any(getattr(self._recordings, name, None) for name in ("target_transform", "transforms"))
        if known is not None and not changed and len(known) == len(self._recordings):
            return list(known)
        return [self._item(index)[1] for index in range(len(self._recordings))]

    def _label(self, index: int, label: Any) -> int:
        if isinstance(label, bool | np.bool_) or not isinstance(label, int | np.integer) or label < 0:
            raise InputError("the label is no class", self._where(index), label, "whole numbers from 0")
        return int(label)

    def _spikes(self, recorded: Any, where: str) -> NDArray[np.uint8]:
        names = getattr(getattr(recorded, "dtype", None), "names", None)
        if names is None:
            return self._frames(recorded, where)
        missing = [name for name in _FIELDS if name not in names]
        if missing:
            raise InputError("events without " + ", ".join(missing), where, list(names), "x, y, t (microseconds), p")
        if not len(recorded):
            raise InputError("the recording holds no event", where)
        events = checked_events(recorded, self._sensor, where)
        timesteps, *plane, _ = self._shape
        return bin_events(events, events.window(), timesteps, self._sensor, (plane[0], plane[1]))

    def _frames(self, recorded: Any, where: str) -> NDArray[np.uint8]:
        frames = np.asarray(recorded)
        wanted = (self._shape[0], POLARITIES, *self._shape[1:3])
        if frames.shape != wanted:
            allowed = f"events, or frames {list(wanted)}: timesteps, polarities, rows, columns"
            raise InputError("neither events nor frames that fit", where, list(frames.shape), allowed)
        spikes: NDArray[np.uint8] = np.moveaxis(frames != 0, 1, -1).astype(np.uint8)
        return spikes


def checked_events(recorded: NDArray[Any], sensor: Sensor, where: str) -> Events:
    """Return events of a structured array; raises InputError for a polarity or a place that the sensor cannot give."""
    x, y, t, p = (np.asarray(recorded[name]).astype(np.int64) for name in _FIELDS)
    wrong = (p != 0) & (p != 1)
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(
            "the polarity of an event is neither 0 nor 1", f"{where}: event {first}", int(p[first]), "0, 1"
        )
    events = Events(t, y, x, p)
    events.check(sensor, where)
    return events


def tonic_dataset(
    train: Recordings,
    held_out: Recordings,
    plane: Sensor,
    timesteps: int,
    *,
    name: str = "tonic",
    sensor: Sensor | None = None,
    classes: int | None = None,
    transform: Transform | None = None,
) -> Dataset:
    """Return recordings to train on, and others held out, as a data set of spikes on `plane` (rows, columns).

    sensor: rows and columns that the events have behind `transform`; without it what the recordings say of themselves
    as tonic's `sensor_size`. classes: without it one more than the largest label. `workloads.datasets.register` offers
    it to the training by its name. Raises InputError as `TonicSamples` does, for a sensor that is not known or that
    `plane` does not divide, and for recordings without a single one.
    """
    for part, recordings in (("train", train), ("held_out", held_out)):
        if not len(recordings):
            raise InputError("there is no recording", f"{name}: {part}")
    size = _sensor_of(train) if sensor is None else sensor
    if size is None:
        raise InputError(
            "the recordings do not say how large their sensor is", f"{name}: sensor", allowed="(rows, columns)"
        )
    if not divides(plane, size):
        what = "the sensor's rows and columns cannot be grouped into those of the plane"
        raise InputError(what, f"{name}: plane", list(plane), f"divisors of {list(size)}")
    parts = [TonicSamples(part, size, plane, timesteps, name, transform) for part in (train, held_out)]
    found = 1 + max(int(part.labels.max()) for part in parts)
    if classes is not None and found > classes:
        raise InputError("the labels are of more classes", f"{name}: classes", classes, f">= {found}")
    sources: list[SampleSource] = [*parts]
    split = Split(sources[0], sources[1])
    counts = len(parts[0].labels), len(parts[1].labels)
    description = f"{name}, each recording in {timesteps} bins on {plane[0]} x {plane[1]} pixels"
    shape = (*plane, POLARITIES)
    return Dataset(
        name, shape, classes or found, 1, *counts, lambda: split, Unchanged(), description, SPIKES, timesteps
    )


def _sensor_of(recordings: Any) -> Sensor | None:
    """Rows and columns of the sensor, which tonic has as (columns, rows, polarities), below slices and caches too."""
    while recordings is not None:
        size = getattr(recordings, "sensor_size", None)
        if size is not None:
            return int(size[1]), int(size[0])
        recordings = getattr(recordings, "dataset", None)
    return None
