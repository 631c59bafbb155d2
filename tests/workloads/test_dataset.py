"""What every data set promises: sizes, labels, batches that can be entered anywhere; which one a network gets."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.workloads.synthetic import small_network
from workloads.dataset import Dataset, as_inputs, find_packaged_file
from workloads.datasets import DATASETS, choose_dataset
from workloads.digits import DIGITS
from workloads.network import load_network
from workloads.photographs import PHOTOGRAPHS

COLOUR = {"shape": [32, 32, 3]}


@pytest.fixture(params=DATASETS.values(), ids=list(DATASETS))
def dataset(request: pytest.FixtureRequest) -> Dataset:
    chosen: Dataset = request.param
    return chosen


class TestEveryDataset:
    def test_sizes_are_those_announced(self, dataset: Dataset) -> None:
        split = dataset.load()
        assert split.train.images.shape == (dataset.training, *dataset.shape)
        assert split.held_out.images.shape == (dataset.held_out, *dataset.shape)
        for samples in (split.train, split.held_out):
            assert samples.images.dtype == np.uint8
            assert samples.labels.dtype == np.int64
            assert samples.images.max() == dataset.largest_byte
            assert np.unique(samples.labels).tolist() == list(range(dataset.classes))
            assert len(samples.labels) == len(samples.images)

    def test_samples_are_read_only(self, dataset: Dataset) -> None:
        for samples in (dataset.load().train, dataset.load().held_out):
            with pytest.raises(ValueError, match="read-only"):
                samples.images[0] = 1
            with pytest.raises(ValueError, match="read-only"):
                samples.labels[0] = 1

    def test_batches_depend_on_seed_and_epoch_alone(self, dataset: Dataset) -> None:
        def content(seed: int, epoch: int, first: int = 0) -> list[bytes]:
            batches = dataset.epoch_batches(seed, epoch, 32, first)
            return [batch.images.tobytes() + batch.labels.tobytes() for batch in batches]

        whole = content(1, 2)
        assert len(whole) == dataset.steps_per_epoch(32) == dataset.training // 32
        assert content(1, 2) == whole
        assert content(1, 2, len(whole) - 4) == whole[-4:]
        assert set(content(1, 3)).isdisjoint(whole)
        assert set(content(2, 2)).isdisjoint(whole)

    def test_an_epoch_uses_an_image_at_most_once_and_drops_the_rest(self, dataset: Dataset) -> None:
        train = dataset.load().train
        batch = dataset.training // 3 + 1
        labels = np.concatenate([part.labels for part in dataset.epoch_batches(0, 0, batch)])
        assert len(labels) == 2 * batch
        assert (np.bincount(labels) <= np.bincount(train.labels)).all()
        everything = next(dataset.epoch_batches(0, 0, dataset.training))
        assert sorted(everything.labels) == sorted(train.labels)

    def test_words_for_a_wrong_batch(self, dataset: Dataset) -> None:
        for batch in (0, -1, dataset.training + 1):
            text = rf"batch: wrong value, got {batch}, allowed: 1\.\.{dataset.training}, the number of training images$"
            with pytest.raises(InputError, match=text):
                dataset.steps_per_epoch(batch)


def test_choice_by_shape_and_by_name() -> None:
    assert choose_dataset(load_network("digits-conv")) is DIGITS
    assert choose_dataset(load_network("digits-mlp"), "digits") is DIGITS
    assert choose_dataset(load_network("cifar-cnn")) is PHOTOGRAPHS
    signed = small_network(input={"shape": [8, 8, 1], "signed": True}, layers=[{"linear": 9}, {"linear": 11}])
    assert choose_dataset(signed) is DIGITS


def test_words_for_networks_that_cannot_be_fed() -> None:
    digits, conv = {"shape": [8, 8, 1]}, load_network("digits-conv")
    both = r"direct \[8, 8, 1\] \(digits\), unsigned direct \[32, 32, 3\] \(photographs\), "
    both += r"unsigned direct \[224, 224, 3\] \(photographs-224\)$"
    text = rf"small: input: no data set has images of this shape, got 'direct \[4, 5, 3\]', allowed: {both}"
    with pytest.raises(InputError, match=text):
        choose_dataset(small_network())
    with pytest.raises(InputError, match=rf"got 'spikes \[8, 8, 1\]', allowed: {both}"):
        choose_dataset(small_network(input=digits | {"coding": "spikes"}))
    with pytest.raises(InputError, match=rf"got 'signed direct \[32, 32, 3\]', allowed: {both}"):
        choose_dataset(small_network(input=COLOUR | {"signed": True}))
    with pytest.raises(InputError, match=r"small: layers: too few outputs for the digits, got 4, allowed: >= 10$"):
        choose_dataset(small_network(input=digits))
    text = (
        r"digits-conv: input: the photographs cannot be fed to this network, got 'direct \[8, 8, 1\]', allowed: unsig"
    )
    with pytest.raises(InputError, match=text):
        choose_dataset(conv, "photographs")
    with pytest.raises(InputError, match=r"dataset: unknown data set, got 'cifar-10', allowed: digits, photographs, "):
        choose_dataset(conv, "cifar-10")


def test_inputs_have_the_type_of_the_network() -> None:
    images = DIGITS.load().train.images
    assert as_inputs(images, load_network("digits-mlp")).dtype == np.uint8
    signed = as_inputs(images, small_network(input={"shape": [8, 8, 1], "exponent": 4, "signed": True}))
    assert signed.dtype == np.int8
    assert np.array_equal(signed, images)


def test_packaged_files_are_found_without_an_import() -> None:
    found = find_packaged_file("workloads", "networks/digits-conv.yaml")
    assert found is not None
    assert found.is_file()
    assert find_packaged_file("workloads", "networks/none.yaml") is None
    assert find_packaged_file("no_such_package", "file") is None
