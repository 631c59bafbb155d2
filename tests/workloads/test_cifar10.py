"""CIFAR-10's binary files, written here byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.workloads.files import cifar_record, write_cifar
from tests.workloads.synthetic import small_network
from workloads.cifar10 import RECORD_BYTES, cifar10_dataset, fits
from workloads.network import load_network


def test_pixels_and_labels_of_every_record(tmp_path: Path) -> None:
    dataset = cifar10_dataset(write_cifar(tmp_path))
    assert (dataset.training, dataset.held_out, dataset.classes) == (20, 4, 10)
    split = dataset.load()
    y, x = np.mgrid[:32, :32]
    for source, files in ((split.train, range(5)), (split.held_out, range(5, 6))):
        everything = source.take(np.arange(4 * len(files)))
        assert everything.images.shape == (4 * len(files), 32, 32, 3)
        for number, (image, label) in enumerate(zip(everything.images, everything.labels, strict=True)):
            file, record = files[number // 4], number % 4
            assert label == (file + record) % 10
            assert np.array_equal(image[..., 0], (20 * file + record + y) % 256)
            assert np.array_equal(image[..., 1], x)
            assert np.array_equal(image[..., 2], (7 * y + x) % 256)


def test_records_in_any_order(tmp_path: Path) -> None:
    source = cifar10_dataset(write_cifar(tmp_path)).load().train
    indices = np.array([19, 0, 7, 8, 7, 3])
    chosen, everything = source.take(indices), source.take(np.arange(20))
    assert np.array_equal(chosen.images, everything.images[indices])
    assert np.array_equal(chosen.labels, everything.labels[indices])
    with pytest.raises(ValueError, match="read-only"):
        chosen.images[0] = 1


def test_words_for_missing_files(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    (tmp_path / "data_batch_3.bin").unlink()
    text = r"data_batch_3\.bin: cannot read the file \(No such file or directory\), allowed: data_batch_1\.bin \.\. "
    with pytest.raises(InputError, match=text):
        cifar10_dataset(tmp_path)


@pytest.mark.parametrize(("kept", "record"), [(RECORD_BYTES * 2 + 100, 2), (0, 0), (RECORD_BYTES - 1, 0)])
def test_words_for_a_file_cut_off(tmp_path: Path, kept: int, record: int) -> None:
    path = write_cifar(tmp_path) / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:kept])
    text = rf"data_batch_2\.bin: the file is cut off in record {record}, got '{kept} bytes', allowed: records of 3073 "
    with pytest.raises(InputError, match=text):
        cifar10_dataset(tmp_path)


def test_words_for_a_label_out_of_range(tmp_path: Path) -> None:
    path = write_cifar(tmp_path) / "test_batch.bin"
    path.write_bytes(path.read_bytes() + cifar_record(10, 0) + cifar_record(255, 0))
    text = r"test_batch\.bin: byte 12292 \(record 4\): the label is out of range, got 10, allowed: 0\.\.9$"
    with pytest.raises(InputError, match=text):
        cifar10_dataset(tmp_path)


def test_which_networks_it_fits() -> None:
    assert fits(load_network("cifar-cnn"))
    assert not fits(load_network("digits-conv"))
    assert not fits(small_network(input={"shape": [32, 32, 3], "signed": True}))
    assert not fits(small_network(input={"shape": [32, 32, 3], "coding": "spikes"}))
