"""CIFAR-10 as its binary files: 50,000 colour images of 32 x 32 pixels to train on and 10,000 held out, 10 classes.

Files ``data_batch_1.bin`` .. ``data_batch_5.bin`` and ``test_batch.bin``; a record is one byte, the label, and 3,072
bytes of pixels: 1,024 red, 1,024 green, 1,024 blue, each row by row. Source: A. Krizhevsky, "The CIFAR-10 dataset",
cs.toronto.edu/~kriz/cifar.html, "Binary version".
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.dataset import Dataset, Samples, Split, frozen
from workloads.network import DIRECT, Network
from workloads.photographs import Mirror

NAME = "cifar-10"
TRAINING_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASSES = 10
SIDE = 32
CHANNELS = 3
RECORD_BYTES = 1 + CHANNELS * SIDE * SIDE
ACCEPTED = f"unsigned {DIRECT} [{SIDE}, {SIDE}, {CHANNELS}]"
FILES = "data_batch_1.bin .. data_batch_5.bin and test_batch.bin"


def fits(network: Network) -> bool:
    """Whether the images can be fed to the network's input."""
    source = network.input
    shape = (source.height, source.width, source.data_channels)
    return source.coding == DIRECT and not source.signed and shape == (SIDE, SIDE, CHANNELS)


def found(folder: Path) -> bool:
    """Whether the folder looks like one of CIFAR-10."""
    return any((folder / name).exists() for name in (*TRAINING_FILES, TEST_FILE))


@cache
def cifar10_dataset(folder: Path) -> Dataset:
    """Return the data set whose files lie in `folder`; images are read when they are taken.

    Raises InputError for files that are missing, do not hold whole records, or hold labels above 9.
    """
    train = Records([folder / name for name in TRAINING_FILES])
    held_out = Records([folder / TEST_FILE])
    shape, counts = (SIDE, SIDE, CHANNELS), (len(train.labels), len(held_out.labels))
    split = Split(train, held_out)
    description = "CIFAR-10, mirrored at random"
    return Dataset(NAME, shape, CLASSES, 255, *counts, lambda: split, Mirror(), description)


class Records:
    """Images of several binary files, one after the other."""

    def __init__(self, files: list[Path]) -> None:
        self._parts = [_open_records(path) for path in files]
        self._starts = np.cumsum([0] + [len(part) for part in self._parts])
        self.labels = np.concatenate([part[:, 0] for part in self._parts]).astype(np.int64)
        self.labels.flags.writeable = False

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """Return the chosen images [N, 32, 32, 3] with their labels, read-only."""
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        planes = np.empty((len(indices), CHANNELS, SIDE, SIDE), np.uint8)
        for number, part in enumerate(self._parts):
            here = numbers == number
            planes[here] = part[indices[here] - self._starts[number], 1:].reshape(-1, CHANNELS, SIDE, SIDE)
        return frozen(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), self.labels[indices])


def _open_records(path: Path) -> NDArray[np.uint8]:
    """Map a file as records [N, 3073] and check its length and labels."""
    try:
        size = path.stat().st_size
        if size == 0 or size % RECORD_BYTES:
            whole = size // RECORD_BYTES
            what = f"the file is cut off in record {whole}"
            raise InputError(what, str(path), f"{size} bytes", f"records of {RECORD_BYTES} bytes")
        records: NDArray[np.uint8] = np.memmap(path, np.uint8, "r").reshape(-1, RECORD_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the file ({error.strerror})", str(path), allowed=FILES) from error
    wrong = records[:, 0] >= CLASSES
    if wrong.any():
        record = int(wrong.argmax())
        where = f"{path}: byte {record * RECORD_BYTES} (record {record})"
        raise InputError("the label is out of range", where, int(records[record, 0]), f"0..{CLASSES - 1}")
    return records
