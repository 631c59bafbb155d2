"""The digits that ship inside scikit-learn: 1,797 real 8x8 images of handwritten digits, bytes 0..16.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
(its test set); packaged as ``sklearn.datasets.load_digits``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from workloads.dataset import Dataset, Samples, Split, find_packaged_file

CLASSES = 10
HEIGHT = WIDTH = 8
TRAINING = 1437
HELD_OUT = 360  # about a fifth of the 1,797 images


@cache
def load_digits_split() -> Split:
    """Return the digits in their fixed stratified split.

    From every class, images at even distances are held out, as many as its share of 360 (largest remainders): no random
    generator, whose stream might change between versions, takes part. The arrays are read-only.
    """
    digits = _read_digits()
    held_out = _held_out_indices(digits.labels)
    rest = np.setdiff1d(np.arange(len(digits.labels)), held_out)
    return Split(digits.take(rest), digits.take(held_out))


class Shift:
    """Moves an image by -1, 0 or 1 pixels in each direction, zeros moving in."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Shifts [count, 2], down and right."""
        return rng.integers(-1, 2, size=(count, 2))

    def apply(self, images: NDArray[np.uint8], draws: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Move image n down by draws[n, 0] and right by draws[n, 1]."""
        count, height, width, _ = images.shape
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        rows = 1 + np.arange(height) - draws[:, 0, None]
        columns = 1 + np.arange(width) - draws[:, 1, None]
        moved: NDArray[np.uint8] = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
        return moved


DESCRIPTION = "handwritten digits of 8 x 8 pixels, shifted by up to one pixel"
DIGITS = Dataset("digits", (HEIGHT, WIDTH, 1), CLASSES, 16, TRAINING, HELD_OUT, load_digits_split, Shift(), DESCRIPTION)


def _read_digits() -> Samples:
    """Return all images [1797, 8, 8, 1] in the order of ``sklearn.datasets.load_digits``.

    The file inside scikit-learn is read without importing scikit-learn, which takes seconds; where a version keeps it
    elsewhere, its own loader finds it.
    """
    path = find_packaged_file("sklearn", "datasets/data/digits.csv.gz")
    if path is not None:
        table = np.loadtxt(path, delimiter=",", dtype=np.int64)
        return Samples(table[:, :-1].astype(np.uint8).reshape(-1, HEIGHT, WIDTH, 1), table[:, -1])
    from sklearn.datasets import load_digits

    digits = load_digits()
    return Samples(digits.images.astype(np.uint8)[..., np.newaxis], digits.target.astype(np.int64))


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
