"""N-MNIST: MNIST's digits, shown to an event camera of 34 x 34 pixels that makes three saccades.

A sample is a file, ``Train/LABEL/*.bin`` (60,000) or ``Test/LABEL/*.bin`` (10,000): events of 40 bits, x in bits 39-32,
y in 31-24, polarity in 23 (1 is ON), microseconds in 22-0, most significant byte first. An event with y 240 marks that
the clock of its successors has run over: 2^13 microseconds more. Sources: G. Orchard et al., Frontiers in Neuroscience
9:437, 2015, and garrickorchard.com/datasets/n-mnist; the mark as in the authors' reader (event-Python, eventvision.py).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.dataset import Dataset, Samples, Split, Unchanged, frozen
from workloads.events import POLARITIES, Events, Sensor, bin_events, divides
from workloads.network import SPIKES, Network

NAME = "n-mnist"
SENSOR = (34, 34)
CLASSES = 10
TRAINING_FOLDER, TEST_FOLDER = "Train", "Test"
EVENT_BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_US = 1 << 13
ACCEPTED = "spikes [34, 34, 2], [17, 17, 2] or [2, 2, 2]"
FILES = "Train/0..9/*.bin and Test/0..9/*.bin"


def fits(network: Network) -> bool:
    """Whether the events can be fed to the network's input."""
    source = network.input
    plane = (source.height, source.width)
    return source.coding == SPIKES and source.data_channels == POLARITIES and divides(plane, SENSOR)


def found(folder: Path) -> bool:
    """Whether the folder looks like one of N-MNIST."""
    return (folder / TRAINING_FOLDER).is_dir() or (folder / TEST_FOLDER).is_dir()


@cache
def nmnist_dataset(folder: Path, plane: Sensor, timesteps: int) -> Dataset:
    """Return the data set in `folder`; a recording, from its first to its last event, fills `timesteps` bins.

    Files are read when their samples are taken. Raises InputError for folders that are missing or hold no recording.
    """
    train = EventFiles(folder / TRAINING_FOLDER, plane, timesteps)
    held_out = EventFiles(folder / TEST_FOLDER, plane, timesteps)
    split = Split(train, held_out)
    counts = len(train.labels), len(held_out.labels)
    description = f"N-MNIST, each recording in {timesteps} bins on {plane[0]} x {plane[1]} pixels"
    shape = (*plane, POLARITIES)
    return Dataset(NAME, shape, CLASSES, 1, *counts, lambda: split, Unchanged(), description, SPIKES, timesteps)


class EventFiles:
    """Recordings of the folders ``0`` .. ``9``, label by label and by name."""

    def __init__(self, folder: Path, plane: Sensor, timesteps: int) -> None:
        self._plane = plane
        self._timesteps = timesteps
        self._files: list[Path] = []
        labels: list[int] = []
        for label in range(CLASSES):
            files = _recordings(folder / str(label))
            self._files += files
            labels += [label] * len(files)
        self.labels = np.array(labels, np.int64)
        self.labels.flags.writeable = False

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """Return the chosen recordings as spikes [N, T, H, W, 2], read-only."""
        spikes = np.empty((len(indices), self._timesteps, *self._plane, POLARITIES), np.uint8)
        for number, index in enumerate(indices):
            events = read_events(self._files[index])
            spikes[number] = bin_events(events, events.window(), self._timesteps, SENSOR, self._plane)
        return frozen(spikes, self.labels[indices])


def read_events(path: Path) -> Events:
    """Read one recording; raises InputError for a file cut off, without events, or with events outside the sensor."""
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"cannot read the recording ({error.strerror})", str(path)) from error
    if len(raw) % EVENT_BYTES:
        what = f"the recording is cut off in event {len(raw) // EVENT_BYTES}"
        raise InputError(what, str(path), f"{len(raw)} bytes", f"events of {EVENT_BYTES} bytes")
    fields = raw.reshape(-1, EVENT_BYTES).astype(np.int64)
    x, y, on = fields[:, 0], fields[:, 1], fields[:, 2] >> 7
    time_us = (fields[:, 2] & 0x7F) << 16 | fields[:, 3] << 8 | fields[:, 4]
    overflow = y == OVERFLOW_ROW
    time_us += OVERFLOW_US * np.cumsum(overflow)
    kept = ~overflow
    if not kept.any():
        raise InputError("the recording holds no event", str(path))
    events = Events(time_us[kept], y[kept], x[kept], on[kept])
    events.check(SENSOR, str(path))
    return events


def _recordings(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".bin")
    except OSError as error:
        raise InputError(f"cannot read the folder ({error.strerror})", str(folder), allowed=FILES) from error
    if not files:
        raise InputError("the folder holds no recording", str(folder), allowed=FILES)
    return files
