"""The digits: a fixed stratified split, and shifts."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import workloads.digits
from workloads.digits import DIGITS, Shift, load_digits_split


def test_split_is_complete_stratified_and_fixed() -> None:
    split = load_digits_split()
    assert split.train.images.shape == (1437, 8, 8, 1)
    assert split.held_out.images.shape == (360, 8, 8, 1)
    assert (split.train.images.min(), split.train.images.max()) == (0, 16)
    train, held_out = np.bincount(split.train.labels), np.bincount(split.held_out.labels)
    assert (train + held_out).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.abs(held_out - (train + held_out) * 360 / 1797).max() < 1
    digest = hashlib.sha256(split.held_out.images.tobytes() + split.held_out.labels.astype("<i8").tobytes())
    assert digest.hexdigest() == "c1157ad1600b8cbe167fa04c60068b85296c7b77a6ec1e7a1bd7eec091c21a67"


def test_reading_without_the_loader_gives_what_the_loader_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    digits = workloads.digits._read_digits()
    assert np.array_equal(digits.images[..., 0], load_digits().images)
    assert np.array_equal(digits.labels, load_digits().target)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    again = workloads.digits._read_digits()
    assert np.array_equal(digits.images, again.images)
    assert np.array_equal(digits.labels, again.labels)
    assert (again.images.dtype, again.labels.dtype) == (digits.images.dtype, digits.labels.dtype)


def test_no_image_is_on_both_sides() -> None:
    split = load_digits_split()
    train = {image.tobytes() for image in split.train.images}
    assert not any(image.tobytes() in train for image in split.held_out.images)


def test_samples_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_digits_split().train.images[0] = 1


def test_shift() -> None:
    image = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)
    down_left = Shift().apply(image, np.array([[1, -1]]))
    assert down_left[0, :, :, 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    up_right = Shift().apply(image, np.array([[-1, 1]]))
    assert up_right[0, :, :, 0].tolist() == [[0, 4, 5], [0, 7, 8], [0, 0, 0]]
    assert np.array_equal(Shift().apply(image, np.array([[0, 0]])), image)


def test_shifts_are_mixed_over_the_images_of_a_batch() -> None:
    images = np.ones((9, 2, 2, 1), np.uint8)
    shifts = np.array([[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    assert Shift().apply(images, shifts).sum(axis=(1, 2, 3)).tolist() == [1, 2, 1, 2, 4, 2, 1, 2, 1]


def test_batches_of_a_fixed_seed_are_fixed() -> None:
    digest = hashlib.sha256()
    for batch in DIGITS.epoch_batches(1, 2, 32):
        digest.update(batch.images.tobytes() + batch.labels.astype("<i8").tobytes())
    assert digest.hexdigest() == "631133ef8ac22fb31b1c43618be033cfd4149822898cb759f734ef8afcc67407"
