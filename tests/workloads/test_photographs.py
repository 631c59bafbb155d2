"""The crops: where they were cut from, that no pixel is on both sides, and mirrors."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from workloads import photographs
from workloads.network import load_network
from workloads.photographs import (
    CELLS,
    FILES,
    LARGE,
    LARGE_PHOTOGRAPHS,
    SMALL,
    STEP,
    Cut,
    Mirror,
    load_photograph_crops,
)

CUTS = pytest.mark.parametrize("cut", [SMALL, LARGE], ids=["small", "large"])


@pytest.mark.parametrize(
    ("cut", "wanted"),
    [
        (SMALL, "f438b118568b30d5d176977c2e3242c4e7e2ddc77c302b3b18b81426f8b2bf0a"),
        (LARGE, "3bfabb1d99cfd237d8321eef0a8169d98a15f1f9b7405c1f040980e45cc3be91"),
    ],
    ids=["small", "large"],
)
def test_crops_are_fixed(cut: Cut, wanted: str) -> None:
    split = load_photograph_crops(cut)
    digest = hashlib.sha256()
    for samples in (split.train, split.held_out):
        digest.update(samples.images.tobytes() + samples.labels.astype("<i8").tobytes())
    assert digest.hexdigest() == wanted


def test_reading_without_the_loader_gives_what_the_loader_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = [photographs.read_photograph(name) for name in FILES]
    assert [image.shape for image in direct] == [(427, 640, 3)] * 2
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, image in zip(FILES, direct, strict=True):
        again = photographs.read_photograph(name)
        assert np.array_equal(again, image)
        assert again.dtype == image.dtype


def places(monkeypatch: pytest.MonkeyPatch, cut: Cut) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Cut photographs whose pixels say where they are: (photograph, y, x); crops to train on, and held-out ones."""
    numbers = iter(range(len(FILES)))
    size = (427 * cut.enlargement, 640 * cut.enlargement)

    def numbered(name: str) -> NDArray[np.int16]:
        y, x = np.indices(size, np.int16)
        return np.stack([np.full(size, next(numbers), np.int16), y, x], axis=-1)

    monkeypatch.setattr(photographs, "read_photograph", numbered)
    monkeypatch.setattr(photographs, "_enlarge", lambda photograph, times: photograph)
    split = load_photograph_crops.__wrapped__(cut)
    return np.asarray(split.train.images, np.int16), np.asarray(split.held_out.images, np.int16)


@CUTS
def test_no_pixel_is_on_both_sides_and_labels_name_the_cell(monkeypatch: pytest.MonkeyPatch, cut: Cut) -> None:
    labels = load_photograph_crops(cut).train.labels, load_photograph_crops(cut).held_out.labels
    seen = []
    for crops, names in zip(places(monkeypatch, cut), labels, strict=True):
        used = np.zeros((len(FILES), 427 * cut.enlargement, 640 * cut.enlargement), np.bool_)
        used[crops[..., 0], crops[..., 1], crops[..., 2]] = True
        seen.append(used)
        cells = crops[..., 0] * CELLS + crops[..., 2] // cut.cell_width
        assert (cells == names[:, np.newaxis, np.newaxis]).all()
    assert not (seen[0] & seen[1]).any()
    assert seen[1].sum() == cut.held_out * cut.side**2  # held-out crops do not overlap


def test_corners_of_small_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out = places(monkeypatch, SMALL)
    corners = train[:, 0, 0].tolist()
    assert corners[:2] == [[0, 0, 0], [0, 0, STEP]]
    assert corners[-1] == [1, 3 * 106 + 42, 4 * 128 + 96]
    assert len({tuple(corner) for corner in corners}) == len(corners) == 5440
    assert held_out[:5, 0, 0].tolist() == [[0, 74, 0], [0, 74, 32], [0, 74, 64], [0, 74, 96], [0, 180, 0]]
    assert (train[:, :, :, 1].max(), held_out[:, :, :, 1].max()) == (391, 423)


def test_corners_of_large_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out = places(monkeypatch, LARGE)
    corners = train[:, 0, 0].tolist()
    assert corners[:3] == [[0, 0, 0], [0, 0, 24], [0, 24, 0]]
    assert corners[-1] == [1, 384, 4 * 256 + 24]
    assert len({tuple(corner) for corner in corners}) == len(corners) == 340
    assert held_out[:2, 0, 0].tolist() == [[0, 630, 0], [0, 630, 256]]
    assert (train[:, :, :, 1].max(), held_out[:, :, :, 1].max()) == (384 + 223, 853)


def test_enlarged_photographs_keep_their_picture() -> None:
    """Means of 2 x 2 neighbours are close to the pixel that they come from."""
    photograph = photographs.read_photograph(FILES[0])
    enlarged = photographs._enlarge(photograph, 2)
    assert enlarged.shape == (854, 1280, 3)
    means = enlarged.reshape(427, 2, 640, 2, 3).mean(axis=(1, 3))
    assert np.abs(means - photograph).mean() < 3
    assert photographs._enlarge(photograph, 1) is photograph


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
    large = load_network("imagenet-alexnet").input
    assert (large.height, large.width, large.channels) == LARGE_PHOTOGRAPHS.shape
    assert (network.timesteps, network.input.exponent, network.input.signed) == (6, 8, False)
