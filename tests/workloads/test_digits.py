"""The digits: a fixed stratified split, seeded shifts, batches that can be entered anywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import workloads.digits
from rtl_models.errors import InputError
from tests.workloads.synthetic import small_network
from workloads.digits import (
    as_inputs,
    check_network,
    epoch_batches,
    load_digits_split,
    shift_images,
    steps_per_epoch,
)
from workloads.network import load_network


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

    images, labels = workloads.digits._read_digits()
    assert np.array_equal(images[..., 0], load_digits().images)
    assert np.array_equal(labels, load_digits().target)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    again, same = workloads.digits._read_digits()
    assert np.array_equal(images, again)
    assert np.array_equal(labels, same)
    assert (again.dtype, same.dtype) == (images.dtype, labels.dtype)


def test_no_image_is_on_both_sides() -> None:
    split = load_digits_split()
    train = {image.tobytes() for image in split.train.images}
    assert not any(image.tobytes() in train for image in split.held_out.images)


def test_samples_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_digits_split().train.images[0] = 1


def test_shift() -> None:
    image = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)
    down_left = shift_images(image, np.array([[1, -1]]))
    assert down_left[0, :, :, 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    up_right = shift_images(image, np.array([[-1, 1]]))
    assert up_right[0, :, :, 0].tolist() == [[0, 4, 5], [0, 7, 8], [0, 0, 0]]
    assert np.array_equal(shift_images(image, np.array([[0, 0]])), image)


def test_shifts_are_mixed_over_the_images_of_a_batch() -> None:
    images = np.ones((9, 2, 2, 1), np.uint8)
    shifts = np.array([[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    assert shift_images(images, shifts).sum(axis=(1, 2, 3)).tolist() == [1, 2, 1, 2, 4, 2, 1, 2, 1]


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    def content(seed: int, epoch: int, first: int = 0) -> list[bytes]:
        return [b.images.tobytes() + b.labels.tobytes() for b in epoch_batches(seed, epoch, 32, first)]

    whole = content(1, 2)
    assert len(whole) == steps_per_epoch(32) == 44
    assert content(1, 2) == whole
    assert content(1, 2, 40) == whole[40:]
    assert set(content(1, 3)).isdisjoint(whole)
    assert set(content(2, 2)).isdisjoint(whole)


def test_an_epoch_uses_an_image_at_most_once_and_drops_the_rest() -> None:
    split = load_digits_split()
    labels = np.concatenate([b.labels for b in epoch_batches(0, 0, 100)])
    assert len(labels) == 1400
    assert (np.bincount(labels) <= np.bincount(split.train.labels)).all()
    images = next(epoch_batches(0, 0, 1437))
    assert sorted(images.labels) == sorted(split.train.labels)


def test_inputs_have_the_type_of_the_network() -> None:
    images = load_digits_split().train.images
    assert as_inputs(images, load_network("digits-mlp")).dtype == np.uint8
    signed = small_network(input={"shape": [8, 8, 1], "exponent": 4, "signed": True})
    assert as_inputs(images, signed).dtype == np.int8


@pytest.mark.parametrize("batch", [0, -1, 1438])
def test_words_for_a_wrong_batch(batch: int) -> None:
    text = rf"batch: wrong value, got {batch}, allowed: 1\.\.1437, the number of training images$"
    with pytest.raises(InputError, match=text):
        steps_per_epoch(batch)


def test_words_for_networks_that_cannot_be_fed() -> None:
    check_network(load_network("digits-conv"))
    text = (
        r"small: input: the digits cannot be fed to this network, got 'direct \[4, 5, 3\]', allowed: direct \[8, 8, 1\]"
    )
    with pytest.raises(InputError, match=text):
        check_network(small_network())
    spikes = small_network(input={"shape": [8, 8, 1], "coding": "spikes"})
    with pytest.raises(InputError, match=r"got 'spikes \[8, 8, 1\]', allowed: direct \[8, 8, 1\]$"):
        check_network(spikes)
    few = small_network(input={"shape": [8, 8, 1]})
    with pytest.raises(InputError, match=r"small: layers: too few outputs for the digits, got 4, allowed: >= 10$"):
        check_network(few)
