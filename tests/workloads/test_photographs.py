"""The crops: where they were cut from, that no pixel is on both sides, and mirrors."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from workloads import photographs
from workloads.network import load_network
from workloads.photographs import (
    BAND_HEIGHT,
    BANDS,
    CELL_WIDTH,
    CELLS,
    CLASSES,
    FILES,
    HELD_OUT_TOP,
    SIDE,
    STEP,
    Mirror,
    load_photograph_crops,
)


def test_crops_are_fixed() -> None:
    split = load_photograph_crops()
    digest = hashlib.sha256()
    for samples in (split.train, split.held_out):
        digest.update(samples.images.tobytes() + samples.labels.astype("<i8").tobytes())
    assert digest.hexdigest() == "f438b118568b30d5d176977c2e3242c4e7e2ddc77c302b3b18b81426f8b2bf0a"


def test_reading_without_the_loader_gives_what_the_loader_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = [photographs._read_photograph(name) for name in FILES]
    assert [image.shape for image in direct] == [(427, 640, 3)] * 2
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, image in zip(FILES, direct, strict=True):
        again = photographs._read_photograph(name)
        assert np.array_equal(again, image)
        assert again.dtype == image.dtype


def places(monkeypatch: pytest.MonkeyPatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut photographs whose pixels say where they are: (photograph, y, x); crops to train on, and held-out ones."""
    numbers = iter(range(len(FILES)))

    def numbered(name: str) -> NDArray[np.int64]:
        y, x = np.indices((427, 640))
        return np.stack([np.full((427, 640), next(numbers)), y, x], axis=-1)

    monkeypatch.setattr(photographs, "_read_photograph", numbered)
    split = load_photograph_crops.__wrapped__()
    return split.train.images.astype(np.int64), split.held_out.images.astype(np.int64)


def test_no_pixel_is_on_both_sides_and_labels_name_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = load_photograph_crops().train.labels, load_photograph_crops().held_out.labels
    seen = []
    for crops, names in zip(places(monkeypatch), labels, strict=True):
        used = np.zeros((len(FILES), 427, 640), np.bool_)
        used[crops[..., 0], crops[..., 1], crops[..., 2]] = True
        seen.append(used)
        cells = crops[..., 0] * CELLS + crops[..., 2] // CELL_WIDTH
        assert (cells == names[:, np.newaxis, np.newaxis]).all()
    assert not (seen[0] & seen[1]).any()
    assert seen[1].sum() == CLASSES * BANDS * 4 * SIDE * SIDE  # held-out crops do not overlap


def test_corners_of_the_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out = places(monkeypatch)
    corners = train[:, 0, 0].tolist()
    assert corners[:2] == [[0, 0, 0], [0, 0, STEP]]
    assert corners[-1] == [1, 3 * BAND_HEIGHT + 42, 4 * CELL_WIDTH + 96]
    assert len({tuple(corner) for corner in corners}) == len(corners) == 5440
    assert held_out[:5, 0, 0].tolist() == [
        [0, HELD_OUT_TOP, 0],
        [0, HELD_OUT_TOP, 32],
        [0, HELD_OUT_TOP, 64],
        [0, HELD_OUT_TOP, 96],
        [0, BAND_HEIGHT + HELD_OUT_TOP, 0],
    ]
    assert (train[:, :, :, 1].max(), held_out[:, :, :, 1].max()) == (391, 423)


def test_mirror() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(2, 1, 3, 2)
    mirrored = Mirror().apply(images, np.array([0, 1]))
    assert mirrored[0].tolist() == images[0].tolist()
    assert mirrored[1].tolist() == [[[10, 11], [8, 9], [6, 7]]]
    draws = Mirror().draw(np.random.default_rng(0), 1000)
    assert draws.shape == (1000,)
    assert 400 < draws.sum() < 600


def test_the_network_for_them() -> None:
    network = load_network("cifar-cnn")
    shapes = [(layer.out_height, layer.out_channels) for layer in network.layers]
    assert shapes[:6] == [(32, 128), (32, 128), (16, 128), (16, 256), (16, 256), (8, 256)]
    assert shapes[6:] == [(8, 512), (8, 512), (4, 512), (1, 1024), (1, 512), (1, 10)]
    assert network.layers[9].elements == 8192
    assert (network.timesteps, network.input.exponent, network.input.signed) == (6, 8, False)
