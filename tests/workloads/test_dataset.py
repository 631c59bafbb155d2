"""What every data set promises: sizes, labels, batches that can be entered anywhere; which one a network gets."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.workloads.files import write_cifar, write_gestures, write_nmnist
from tests.workloads.synthetic import small_network
from workloads.dataset import Dataset, Unchanged, as_inputs, find_packaged_file
from workloads.datasets import choose_dataset
from workloads.digits import DIGITS
from workloads.moving_photographs import event_camera_dataset
from workloads.network import DIRECT, load_network
from workloads.photographs import LARGE_PHOTOGRAPHS, PHOTOGRAPHS, Mirror

COLOUR = {"shape": [32, 32, 3]}


CAMERA = event_camera_dataset((205, 8), 2)  # few crops
PACKAGED = (DIGITS, PHOTOGRAPHS, LARGE_PHOTOGRAPHS, CAMERA)


@pytest.fixture(params=PACKAGED, ids=[dataset.name for dataset in PACKAGED])
def dataset(request: pytest.FixtureRequest) -> Dataset:
    chosen: Dataset = request.param
    return chosen


class TestEveryDataset:
    def test_sizes_are_those_announced(self, dataset: Dataset) -> None:
        split = dataset.load()
        time = () if dataset.coding == DIRECT else (dataset.timesteps,)
        for source, count in ((split.train, dataset.training), (split.held_out, dataset.held_out)):
            samples = source.take(np.arange(count))
            assert samples.images.shape == (count, *time, *dataset.shape)
            assert samples.images.dtype == np.uint8
            assert samples.labels.dtype == np.int64
            assert samples.images.max() == dataset.largest_byte
            assert np.unique(samples.labels).tolist() == list(range(dataset.classes))
            assert np.array_equal(samples.labels, source.labels)
            some = source.take(np.array([count - 1, 0]))
            assert np.array_equal(some.images, samples.images[[-1, 0]])

    def test_samples_are_read_only(self, dataset: Dataset) -> None:
        for source in (dataset.load().train, dataset.load().held_out):
            samples = source.take(np.array([0, 1]))
            with pytest.raises(ValueError, match="read-only"):
                source.labels[0] = 1
            with pytest.raises(ValueError, match="read-only"):
                samples.images[0] = 1
            with pytest.raises(ValueError, match="read-only"):
                samples.labels[0] = 1

    def test_batches_depend_on_seed_and_epoch_alone(self, dataset: Dataset) -> None:
        def content(seed: int, epoch: int, first: int = 0) -> list[bytes]:
            batches = itertools.islice(dataset.epoch_batches(seed, epoch, 32, first), 3)
            return [batch.images.tobytes() + batch.labels.tobytes() for batch in batches]

        whole = content(1, 2)
        assert content(1, 2) == whole
        assert content(1, 2, 1)[:2] == whole[1:]
        assert set(content(1, 3)).isdisjoint(whole)
        assert set(content(2, 2)).isdisjoint(whole)

    def test_an_epoch_uses_an_image_at_most_once_and_drops_the_rest(self, dataset: Dataset) -> None:
        train = dataset.load().train
        batch = dataset.training // 3 + 1
        assert dataset.steps_per_epoch(batch) == 2
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
    packaged = r"direct \[8, 8, 1\] \(digits\), unsigned direct \[32, 32, 3\] \(photographs\), "
    packaged += r"unsigned direct \[224, 224, 3\] \(photographs-224\)"
    both = packaged + r", spikes \[H, W, 2\] up to \[205, 120, 2\] \(event-camera-model\)$"
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
    with pytest.raises(InputError, match=r"dataset: unknown data set, got 'mnist', allowed: digits, photographs, pho"):
        choose_dataset(conv, "mnist")


def test_files_are_recognised_or_named(tmp_path: Path) -> None:
    cifar, events = load_network("cifar-cnn"), load_network("nmnist-cnn")
    gestures = load_network("dvsgesture-cnn")
    folders = {
        "cifar-10": write_cifar(tmp_path / "cifar"),
        "n-mnist": write_nmnist(tmp_path / "nmnist"),
        "dvs-gesture": write_gestures(tmp_path / "gestures"),
    }
    for (name, folder), network in zip(folders.items(), (cifar, events, gestures), strict=True):
        dataset = choose_dataset(network, None, folder)
        assert dataset.name == name
        assert choose_dataset(network, name, str(folder)) is dataset  # read once
        assert dataset.fits(network)
        first = next(dataset.epoch_batches(0, 0, 2))
        assert as_inputs(first.images, network).shape[-3:] == dataset.shape
    assert choose_dataset(events).name == choose_dataset(gestures).name == "event-camera-model"
    with pytest.raises(InputError, match=r"nmnist-cnn: input: the cifar-10 cannot be fed to this network, got 'spike"):
        choose_dataset(events, None, folders["cifar-10"])
    text = r"got 'direct \[32, 32, 3\]', allowed: spikes \[34, 34, 2\], \[17, 17, 2\] or \[2, 2, 2\]$"
    with pytest.raises(InputError, match=text):
        choose_dataset(cifar, "n-mnist", folders["n-mnist"])


def test_words_for_folders(tmp_path: Path) -> None:
    network = load_network("cifar-cnn")
    with pytest.raises(InputError, match=r"data: no such folder, got '.*none'$"):
        choose_dataset(network, None, tmp_path / "none")
    text = (
        r"data: the folder holds no data set that can be read, got '.*', allowed: data_batch_1\.bin .* \(cifar-10\); "
    )
    with pytest.raises(InputError, match=text):
        choose_dataset(network, None, tmp_path)
    text = r"data: the files of cifar-10 are needed, got 'nothing', allowed: a folder with data_batch_1\.bin \.\. "
    with pytest.raises(InputError, match=text):
        choose_dataset(network, "cifar-10")
    with pytest.raises(InputError, match=r"data: the photographs come with the package and are read from no folder, "):
        choose_dataset(network, "photographs", tmp_path)


def test_inputs_have_the_type_of_the_network() -> None:
    images = DIGITS.load().train.take(np.arange(9)).images
    assert as_inputs(images, load_network("digits-mlp")).dtype == np.uint8
    signed = as_inputs(images, small_network(input={"shape": [8, 8, 1], "exponent": 4, "signed": True}))
    assert signed.dtype == np.int8
    assert np.array_equal(signed, images)
    events = np.arange(2 * 10 * 4).reshape(2, 10, 2, 1, 2).astype(np.uint8)
    inputs = as_inputs(events, load_network("nmnist-cnn"))
    assert np.array_equal(inputs, events.transpose(1, 0, 2, 3, 4))
    assert inputs.flags.c_contiguous


def test_constant_channels_are_filled_in() -> None:
    network = small_network(
        input={"shape": [8, 8, 2], "exponent": 4, "constant": 128}, layers=[{"linear": 9}, {"linear": 10}]
    )
    assert choose_dataset(network) is DIGITS
    images = DIGITS.load().train.take(np.arange(3)).images
    inputs = as_inputs(images, network)
    assert np.array_equal(inputs[..., :1], images)
    assert (inputs[..., 1] == 128).all()
    spikes = small_network(input={"shape": [2, 1, 3], "coding": "spikes", "constant": 1})
    assert as_inputs(np.zeros((4, 6, 2, 1, 2), np.uint8), spikes)[..., 2].all()


def test_mirrored_events_and_no_augmentation() -> None:
    events = np.arange(24, dtype=np.uint8).reshape(2, 2, 1, 3, 2)
    mirrored = Mirror().apply(events, np.array([0, 1]))
    assert np.array_equal(mirrored[0], events[0])
    assert np.array_equal(mirrored[1], events[1][:, :, ::-1])
    assert np.array_equal(Unchanged().apply(events, Unchanged().draw(np.random.default_rng(0), 2)), events)


def test_events_are_made_for_a_number_of_timesteps() -> None:
    network = load_network("nmnist-cnn")
    assert choose_dataset(network).timesteps == 10
    other = dataclasses.replace(network, timesteps=4)
    assert choose_dataset(other).load().train.take(np.array([0])).images.shape == (1, 4, 34, 34, 2)
    assert not choose_dataset(network).fits(other)
    with pytest.raises(InputError, match="the event-camera-model cannot be fed to this network"):
        choose_dataset(network).check_network(other)


def test_packaged_files_are_found_without_an_import() -> None:
    found = find_packaged_file("workloads", "networks/digits-conv.yaml")
    assert found is not None
    assert found.is_file()
    assert find_packaged_file("workloads", "networks/none.yaml") is None
    assert find_packaged_file("no_such_package", "file") is None
