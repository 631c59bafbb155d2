"""DVS128 Gesture: lists, tables and recordings, written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.workloads.files import aedat_bytes, aedat_packet, write_gestures
from workloads import dvsgesture
from workloads.dvsgesture import dvsgesture_dataset, fits
from workloads.network import load_network


def test_gestures_of_every_recording(tmp_path: Path) -> None:
    dataset = dvsgesture_dataset(write_gestures(tmp_path), (32, 32), 5)
    assert (dataset.training, dataset.held_out, dataset.classes) == (22, 22, 11)
    for source in (dataset.load().train, dataset.load().held_out):
        assert source.labels.tolist() == list(range(11)) * 2
        samples = source.take(np.array([0, 21, 13]))
        assert samples.images.shape == (3, 5, 32, 32, 2)
        for spikes, user, g in zip(samples.images, (0, 1, 1), (0, 10, 2), strict=True):
            assert np.argwhere(spikes).tolist() == [[0, g, user, 1], [4, 31, 31, 0]]
        assert samples.labels.tolist() == [0, 10, 2]


def test_a_recording_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = dvsgesture_dataset(write_gestures(tmp_path), (64, 64), 2).load().train
    first = source.take(np.arange(11))
    monkeypatch.setattr(dvsgesture, "read_aedat", None)  # whoever calls it fails
    assert np.array_equal(source.take(np.arange(11)[::-1]).images[::-1], first.images)
    with pytest.raises(TypeError):
        source.take(np.array([11]))


def test_words_for_an_event_outside_the_sensor(tmp_path: Path) -> None:
    dataset = dvsgesture_dataset(write_gestures(tmp_path), (32, 32), 2)
    (tmp_path / "user00_led.aedat").write_bytes(aedat_bytes([aedat_packet([(5, 3, 128, 1)])]))
    text = r"user00_led\.aedat: event 0: an event lies outside the sensor, got 'y 3, x 128', allowed: y 0\.\.127, x 0"
    with pytest.raises(InputError, match=text):
        dataset.load().train.take(np.array([0]))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("12,10,20", r"line 2: the class is out of range, got 12, allowed: 1\.\.11$"),
        ("0,10,20", "line 2: the class is out of range, got 0"),
        ("1,20,20", "line 2: the gesture ends before it starts, got 20, allowed: > 20$"),
        ("1,20", "line 2: not a gesture, got '1,20', allowed: class,startTime_usec,endTime_usec$"),
        ("1,a,3", "line 2: not a gesture, got '1,a,3'"),
        ("1,-5,3", "line 2: not a gesture, got '1,-5,3'"),
    ],
)
def test_words_for_wrong_tables(tmp_path: Path, line: str, text: str) -> None:
    (write_gestures(tmp_path) / "user01_led_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{line}\n")
    with pytest.raises(InputError, match=rf"user01_led_labels\.csv: {text}"):
        dvsgesture_dataset(tmp_path, (32, 32), 2)


def test_words_for_missing_files(tmp_path: Path) -> None:
    write_gestures(tmp_path)
    (tmp_path / "user02_led.aedat").unlink()
    text = (
        r"trials_to_test\.txt: line 1: no such recording, got 'user02_led\.aedat', allowed: an \.aedat file beside it$"
    )
    with pytest.raises(InputError, match=text):
        dvsgesture_dataset(tmp_path, (32, 32), 2)
    (tmp_path / "user00_led_labels.csv").unlink()
    with pytest.raises(InputError, match=r"user00_led_labels\.csv: cannot read the file \(.*No such file"):
        dvsgesture_dataset(tmp_path, (32, 32), 2)
    (tmp_path / "trials_to_train.txt").write_text("\n")
    with pytest.raises(InputError, match=r"trials_to_train\.txt: the list names no gesture, allowed: trials_to_train"):
        dvsgesture_dataset(tmp_path, (32, 32), 2)


def test_which_networks_it_fits() -> None:
    assert fits(load_network("dvsgesture-cnn"))
    assert not fits(load_network("nmnist-cnn"))
    assert not fits(load_network("cifar-cnn"))
