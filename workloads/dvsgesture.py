"""DVS128 Gesture: 11 hand gestures of 29 people before an event camera of 128 x 128 pixels.

A recording ``userNN_LIGHT.aedat`` (AEDAT 3.1) comes with ``userNN_LIGHT_labels.csv``, lines of class (1..11),
startTime_usec and endTime_usec; ``trials_to_train.txt`` and ``trials_to_test.txt`` name the recordings of the split.
Source: A. Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017, and the README of the
data set (research.ibm.com/interactive/dvsgesture).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.aedat import read_aedat
from workloads.dataset import Dataset, Samples, Split, Unchanged, frozen
from workloads.events import POLARITIES, Sensor, bin_events, divides
from workloads.network import SPIKES, Network

NAME = "dvs-gesture"
SENSOR = (128, 128)
CLASSES = 11
TRAINING_LIST, TEST_LIST = "trials_to_train.txt", "trials_to_test.txt"
ACCEPTED = "spikes [H, W, 2], H and W dividing 128"
FILES = f"{TRAINING_LIST}, {TEST_LIST}, *.aedat and *_labels.csv"


@dataclass(frozen=True)
class Gesture:
    """One gesture: its recording, its time [start, end) in microseconds, and its label (class - 1)."""

    recording: Path
    start_us: int
    end_us: int
    label: int


def fits(network: Network) -> bool:
    """Whether the events can be fed to the network's input."""
    source = network.input
    plane = (source.height, source.width)
    return source.coding == SPIKES and source.data_channels == POLARITIES and divides(plane, SENSOR)


def found(folder: Path) -> bool:
    """Whether the folder looks like one of DVS128 Gesture."""
    return any((folder / name).exists() for name in (TRAINING_LIST, TEST_LIST))


@cache
def dvsgesture_dataset(folder: Path, plane: Sensor, timesteps: int) -> Dataset:
    """Return the data set in `folder`; a gesture, from its start to its end, fills `timesteps` bins.

    A recording is read when the first of its gestures is taken, and its spikes are kept as bits. Raises InputError for
    lists, tables and recordings that are missing, and lines of tables that cannot be understood.
    """
    train = Gestures(read_gestures(folder, TRAINING_LIST), plane, timesteps)
    held_out = Gestures(read_gestures(folder, TEST_LIST), plane, timesteps)
    split = Split(train, held_out)
    counts = len(train.labels), len(held_out.labels)
    description = f"DVS128 Gesture, each gesture in {timesteps} bins on {plane[0]} x {plane[1]} pixels"
    shape = (*plane, POLARITIES)
    return Dataset(NAME, shape, CLASSES, 1, *counts, lambda: split, Unchanged(), description, SPIKES, timesteps)


class Gestures:
    """Gestures of several recordings."""

    def __init__(self, gestures: list[Gesture], plane: Sensor, timesteps: int) -> None:
        self._gestures = gestures
        self._shape = (timesteps, *plane, POLARITIES)
        self._bits: dict[int, NDArray[np.uint8]] = {}
        self.labels = np.array([gesture.label for gesture in gestures], np.int64)
        self.labels.flags.writeable = False

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """Return the chosen gestures as spikes [N, T, H, W, 2], read-only."""
        spikes = np.empty((len(indices), *self._shape), np.uint8)
        for number, index in enumerate(indices):
            if int(index) not in self._bits:
                self._read(self._gestures[index].recording)
            bits = np.unpackbits(self._bits[int(index)], count=spikes[number].size)
            spikes[number] = bits.reshape(self._shape)
        return frozen(spikes, self.labels[indices])

    def _read(self, recording: Path) -> None:
        """Read a recording and keep the spikes of all its gestures."""
        events = read_aedat(recording)
        events.check(SENSOR, str(recording))
        timesteps, plane = self._shape[0], (self._shape[1], self._shape[2])
        for index, gesture in enumerate(self._gestures):
            if gesture.recording == recording:
                window = gesture.start_us, gesture.end_us
                self._bits[index] = np.packbits(bin_events(events, window, timesteps, SENSOR, plane))


def read_gestures(folder: Path, trials: str) -> list[Gesture]:
    """Return the gestures of the recordings that the list `trials` names, in its order."""
    gestures: list[Gesture] = []
    for number, name in enumerate(_lines(folder / trials), start=1):
        recording = folder / name
        if recording.suffix != ".aedat" or not recording.is_file():
            raise InputError("no such recording", f"{folder / trials}: line {number}", name, "an .aedat file beside it")
        gestures += _read_table(recording)
    if not gestures:
        raise InputError("the list names no gesture", str(folder / trials), allowed=FILES)
    return gestures


def _read_table(recording: Path) -> list[Gesture]:
    """Read the table of one recording's gestures; its first line holds the names of the columns."""
    table = recording.with_name(f"{recording.stem}_labels.csv")
    gestures = []
    for number, line in enumerate(_lines(table)[1:], start=2):
        fields = line.split(",")
        if len(fields) != 3 or not all(field.strip().isdecimal() for field in fields):
            raise InputError("not a gesture", f"{table}: line {number}", line, "class,startTime_usec,endTime_usec")
        label, start, end = (int(field) for field in fields)
        if not 1 <= label <= CLASSES:
            raise InputError("the class is out of range", f"{table}: line {number}", label, f"1..{CLASSES}")
        if end <= start:
            raise InputError("the gesture ends before it starts", f"{table}: line {number}", end, f"> {start}")
        gestures.append(Gesture(recording, start, end, label - 1))
    return gestures


def _lines(path: Path) -> list[str]:
    """Lines of a text file that are not empty."""
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file ({error})", str(path), allowed=FILES) from error
