"""Crops of two photographs that ship inside scikit-learn: colour images of 32x32 as CIFAR-10's, or 224x224.

Real pixels for networks of these shapes where CIFAR-10 or ImageNet is not at hand, and no replacement for them: the
label of a crop is the cell of a grid that it was cut from, so what is learned is to tell places of two photographs
apart. Crops of 224x224 are cut from the photographs enlarged twice, since no cell is so wide. Source:
``china.jpg`` by danielbuechele and ``flower.jpg`` by vultilion, CC BY 2.0, packaged as
``sklearn.datasets.load_sample_images``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from workloads.dataset import Dataset, Samples, Split, find_packaged_file

FILES = ("china.jpg", "flower.jpg")  # 427 x 640 pixels each
CELLS = 5  # a photograph's cells, side by side, each as high as the photograph
CELL_WIDTH = 128  # pixels of the photograph as it is
STEP = 6  # pixels between small crops to train on, in both directions
CLASSES = CELLS * len(FILES)


@dataclass(frozen=True)
class Cut:
    """How crops of `side` x `side` pixels are cut from photographs enlarged `enlargement` times; lengths in pixels.

    A cell has bands, one above the other: crops to train on come from above, `step` apart in both directions, held-out
    crops from below, side by side; no pixel is in both.
    """

    side: int
    enlargement: int
    bands: int
    band_height: int
    step: int

    @property
    def cell_width(self) -> int:
        """Width of a cell."""
        return CELL_WIDTH * self.enlargement

    @property
    def held_out_top(self) -> int:
        """Where a band's held-out crops begin."""
        return self.band_height - self.side

    @property
    def down(self) -> range:
        """Where crops to train on begin, from the top of a band."""
        return range(0, self.held_out_top - self.side + 1, self.step)

    @property
    def across(self) -> range:
        """Where crops to train on begin, from the left of a cell."""
        return range(0, self.cell_width - self.side + 1, self.step)

    @property
    def held_out_across(self) -> range:
        """Where held-out crops begin, from the left of a cell."""
        return range(0, self.cell_width - self.side + 1, self.side)

    @property
    def training(self) -> int:
        """Crops to train on."""
        return CLASSES * self.bands * len(self.down) * len(self.across)

    @property
    def held_out(self) -> int:
        """Held-out crops."""
        return CLASSES * self.bands * len(self.held_out_across)


SMALL = Cut(side=32, enlargement=1, bands=4, band_height=106, step=STEP)
LARGE = Cut(side=224, enlargement=2, bands=1, band_height=854, step=24)


@cache
def load_photograph_crops(cut: Cut = SMALL) -> Split:
    """Return all crops in their fixed split, class by class. The arrays are read-only."""
    photographs = [_enlarge(read_photograph(name), cut.enlargement) for name in FILES]
    train = _crops(photographs, cut, cut.down, cut.across)
    return Split(train, _crops(photographs, cut, [cut.held_out_top], cut.held_out_across))


class Mirror:
    """Turns left and right of every second image [..., W, C], chosen at random, around."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Whether to turn each image around, [count], 0 or 1."""
        return rng.integers(0, 2, size=count)

    def apply(self, images: NDArray[np.uint8], draws: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Turn the images around whose draw is 1."""
        mirrored = np.reshape(draws == 1, (-1,) + (1,) * (images.ndim - 1))
        return np.where(mirrored, images[..., ::-1, :], images)


DESCRIPTION = "crops of two photographs, mirrored at random; the label is the cell of a grid that a crop comes from"


def _dataset(name: str, cut: Cut, description: str) -> Dataset:
    shape, load = (cut.side, cut.side, 3), partial(load_photograph_crops, cut)
    return Dataset(name, shape, CLASSES, 255, cut.training, cut.held_out, load, Mirror(), description)


PHOTOGRAPHS = _dataset("photographs", SMALL, DESCRIPTION)
LARGE_PHOTOGRAPHS = _dataset("photographs-224", LARGE, f"{DESCRIPTION}; photographs enlarged twice")


def _crops(photographs: list[NDArray[np.uint8]], cut: Cut, down: range | list[int], across: range) -> Samples:
    """Cut the crops at these places of every band of every cell; the places are those of a crop's upper left corner."""
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for label in range(CLASSES):
        photograph, left = photographs[label // CELLS], label % CELLS * cut.cell_width
        for band in range(cut.bands):
            for y in (band * cut.band_height + place for place in down):
                images += [photograph[y : y + cut.side, left + x : left + x + cut.side] for x in across]
        labels += [label] * (len(images) - len(labels))
    return Samples(np.stack(images), np.array(labels, np.int64)).take(np.arange(len(images)))


def read_photograph(name: str) -> NDArray[np.uint8]:
    """Return a photograph [427, 640, 3], found without importing scikit-learn, which takes seconds."""
    path = find_packaged_file("sklearn", f"datasets/images/{name}")
    if path is None:
        from sklearn.datasets import load_sample_image

        return np.asarray(load_sample_image(name), np.uint8)
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _enlarge(photograph: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Return a photograph with `times` as many pixels in both directions, bicubic."""
    if times == 1:
        return photograph
    from PIL import Image

    size = (photograph.shape[1] * times, photograph.shape[0] * times)
    return np.asarray(Image.fromarray(photograph).resize(size, Image.Resampling.BICUBIC), np.uint8)
