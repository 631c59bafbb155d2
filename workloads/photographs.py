"""Crops of two photographs that ship inside scikit-learn: 32x32 colour images with the shape of CIFAR-10's.

Real pixels for networks of that shape where CIFAR-10 itself is not at hand, and no replacement for it: the label of a
crop is the cell of a grid that it was cut from, so what is learned is to tell places of two photographs apart. Source:
``china.jpg`` by danielbuechele and ``flower.jpg`` by vultilion, CC BY 2.0, packaged as
``sklearn.datasets.load_sample_images``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from workloads.dataset import Dataset, Samples, Split, find_packaged_file

FILES = ("china.jpg", "flower.jpg")  # 427 x 640 pixels each
SIDE = 32  # pixels of a crop, down and right
CELLS = 5  # a photograph's cells, side by side, each as high as the photograph
CELL_WIDTH = 128
BANDS = 4  # a cell's bands, one above the other: crops to train on above, held-out crops below, no pixel in both
BAND_HEIGHT = 106
HELD_OUT_TOP = BAND_HEIGHT - SIDE
STEP = 6  # pixels between crops to train on, in both directions; held-out crops do not overlap

_ACROSS = range(0, CELL_WIDTH - SIDE + 1, STEP)
_DOWN = range(0, HELD_OUT_TOP - SIDE + 1, STEP)
_HELD_OUT_ACROSS = range(0, CELL_WIDTH - SIDE + 1, SIDE)

CLASSES = CELLS * len(FILES)
TRAINING = CLASSES * BANDS * len(_DOWN) * len(_ACROSS)
HELD_OUT = CLASSES * BANDS * len(_HELD_OUT_ACROSS)


@cache
def load_photograph_crops() -> Split:
    """Return all crops in their fixed split, class by class. The arrays are read-only."""
    photographs = [_read_photograph(name) for name in FILES]
    return Split(_crops(photographs, _DOWN, _ACROSS), _crops(photographs, [HELD_OUT_TOP], _HELD_OUT_ACROSS))


class Mirror:
    """Turns left and right of every second image, chosen at random, around."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Whether to turn each image around, [count], 0 or 1."""
        return rng.integers(0, 2, size=count)

    def apply(self, images: NDArray[np.uint8], draws: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Turn the images around whose draw is 1."""
        return np.where(draws[:, np.newaxis, np.newaxis, np.newaxis] == 1, images[:, :, ::-1], images)


DESCRIPTION = "crops of two photographs, mirrored at random; the label is the cell of a grid that a crop comes from"
PHOTOGRAPHS = Dataset(
    "photographs", (SIDE, SIDE, 3), CLASSES, 255, TRAINING, HELD_OUT, load_photograph_crops, Mirror(), DESCRIPTION
)


def _crops(photographs: list[NDArray[np.uint8]], down: range | list[int], across: range) -> Samples:
    """Cut the crops at these places of every band of every cell; the places are those of a crop's upper left corner."""
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for label in range(CLASSES):
        photograph, left = photographs[label // CELLS], label % CELLS * CELL_WIDTH
        for band in range(BANDS):
            for y in (band * BAND_HEIGHT + place for place in down):
                images += [photograph[y : y + SIDE, left + x : left + x + SIDE] for x in across]
        labels += [label] * (len(images) - len(labels))
    return Samples(np.stack(images), np.array(labels, np.int64)).take(np.arange(len(images)))


def _read_photograph(name: str) -> NDArray[np.uint8]:
    """Return a photograph [427, 640, 3], found without importing scikit-learn, which takes seconds."""
    path = find_packaged_file("sklearn", f"datasets/images/{name}")
    if path is None:
        from sklearn.datasets import load_sample_image

        return np.asarray(load_sample_image(name), np.uint8)
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.uint8)
