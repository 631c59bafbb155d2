"""The digits that ship inside scikit-learn: 1,797 real 8x8 images of handwritten digits, bytes 0..16.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
(its test set); packaged as ``sklearn.datasets.load_digits``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.network import DIRECT, Network

NAME = "digits"
CLASSES = 10
HEIGHT = WIDTH = 8
TRAINING = 1437
HELD_OUT = 360  # about a fifth of the 1,797 images
_ORDER_STREAM = 1  # keeps the order's random numbers apart from those of the initial weights

Images = NDArray[np.uint8] | NDArray[np.int8]


@dataclass(frozen=True)
class Samples:
    """Images [N, 8, 8, 1] of bytes 0..16 with their labels [N] 0..9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class DigitsSplit:
    """1,437 images to train on and 360 held out."""

    train: Samples
    held_out: Samples


@cache
def load_digits_split() -> DigitsSplit:
    """Return the digits in their fixed stratified split.

    From every class, images at even distances are held out, as many as its share of 360 (largest remainders): no random
    generator, whose stream might change between versions, takes part. The arrays are read-only.
    """
    images, labels = _read_digits()
    held_out = _held_out_indices(labels)
    rest = np.setdiff1d(np.arange(len(labels)), held_out)
    return DigitsSplit(_take(images, labels, rest), _take(images, labels, held_out))


def check_network(network: Network) -> None:
    """Raise InputError if the digits cannot be fed to `network`."""
    source = network.input
    shape = [source.height, source.width, source.channels]
    if source.coding != DIRECT or shape != [HEIGHT, WIDTH, 1]:
        got = f"{source.coding} {shape}"
        what = "the digits cannot be fed to this network"
        raise InputError(what, f"{network.name}: input", got, f"{DIRECT} [{HEIGHT}, {WIDTH}, 1]")
    if network.classes < CLASSES:
        raise InputError("too few outputs for the digits", f"{network.name}: layers", network.classes, ">= 10")


def steps_per_epoch(batch: int) -> int:
    """Batches of one epoch; the last, incomplete batch is dropped. Raises InputError if there is not one."""
    if not 1 <= batch <= TRAINING:
        raise InputError("wrong value", "batch", batch, f"1..{TRAINING}, the number of training images")
    return TRAINING // batch


def epoch_batches(seed: int, epoch: int, batch: int, first: int = 0) -> Iterator[Samples]:
    """Yield the batches of epoch `epoch` (from 0), from batch `first` on: permuted and shifted training images.

    Order and shifts come from `seed` and `epoch` alone, so an epoch can be entered anywhere. What is left after the
    last whole batch is dropped; the next epoch permutes all images again.
    """
    train = load_digits_split().train
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ORDER_STREAM, epoch)))
    order = rng.permutation(len(train.labels))
    shifts = rng.integers(-1, 2, size=(len(order), 2))
    for number in range(first, steps_per_epoch(batch)):
        chosen = slice(number * batch, (number + 1) * batch)
        yield Samples(shift_images(train.images[order[chosen]], shifts[chosen]), train.labels[order[chosen]])


def shift_images(images: NDArray[np.uint8], shifts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Move image n of [N, H, W, C] down by shifts[n, 0] and right by shifts[n, 1] (-1, 0, 1), zeros moving in."""
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = 1 + np.arange(height) - shifts[:, 0, None]
    columns = 1 + np.arange(width) - shifts[:, 1, None]
    moved: NDArray[np.uint8] = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def as_inputs(images: NDArray[np.uint8], network: Network) -> Images:
    """Return the images in the type that the network's input has; 0..16 is the same number in both."""
    return images.astype(np.int8) if network.input.signed else images


def _read_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return all images [1797, 8, 8, 1] and labels in the order of ``sklearn.datasets.load_digits``.

    The file inside scikit-learn is read without importing scikit-learn, which takes seconds; where a version keeps it
    elsewhere, its own loader finds it.
    """
    package = importlib.util.find_spec("sklearn")
    folders = package.submodule_search_locations if package and package.submodule_search_locations else []
    for folder in folders:
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            table = np.loadtxt(path, delimiter=",", dtype=np.int64)
            return table[:, :-1].astype(np.uint8).reshape(-1, HEIGHT, WIDTH, 1), table[:, -1]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8)[..., np.newaxis], digits.target.astype(np.int64)


def _held_out_indices(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the held-out images, ascending."""
    counts = np.bincount(labels, minlength=CLASSES)
    shares = counts * HELD_OUT / counts.sum()
    quotas = np.floor(shares).astype(np.int64)
    largest = np.argsort(quotas - shares, kind="stable")[: HELD_OUT - quotas.sum()]
    quotas[largest] += 1
    chosen = []
    for digit, quota in enumerate(quotas):
        members = np.flatnonzero(labels == digit)
        chosen.append(members[(2 * np.arange(quota) + 1) * len(members) // (2 * quota)])
    return np.sort(np.concatenate(chosen))


def _take(images: NDArray[np.uint8], labels: NDArray[np.int64], indices: NDArray[np.int64]) -> Samples:
    samples = Samples(images[indices], labels[indices])
    samples.images.flags.writeable = False
    samples.labels.flags.writeable = False
    return samples
