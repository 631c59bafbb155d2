"""N-MNIST's recordings, written here bit by bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tests.workloads.files import Row, nmnist_bytes, write_nmnist
from workloads.network import load_network
from workloads.nmnist import fits, nmnist_dataset, read_events

ROWS = st.lists(
    st.tuples(st.integers(0, (1 << 23) - 1), st.integers(0, 33), st.integers(0, 33), st.integers(0, 1)),
    min_size=1,
    max_size=20,
)


@settings(derandomize=True, deadline=None)
@given(rows=ROWS)
def test_events_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.mktemp("events") / "a.bin"
    path.write_bytes(nmnist_bytes(rows))
    events = read_events(path)
    assert list(zip(events.time_us, events.y, events.x, events.on, strict=True)) == rows


def test_the_clock_that_runs_over(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(nmnist_bytes([(5, 1, 2, 1), (0, 240, 0, 0), (6, 3, 4, 0), (0, 240, 0, 1), (7, 5, 6, 1)]))
    events = read_events(path)
    assert events.time_us.tolist() == [5, 6 + 8192, 7 + 16384]
    assert (events.y.tolist(), events.x.tolist(), events.on.tolist()) == ([1, 3, 5], [2, 4, 6], [1, 0, 1])


def test_recordings_by_label_and_name(tmp_path: Path) -> None:
    dataset = nmnist_dataset(write_nmnist(tmp_path, each=3), (34, 34), 4)
    assert (dataset.training, dataset.held_out, dataset.classes, dataset.timesteps) == (30, 30, 10, 4)
    source = dataset.load().train
    assert source.labels.tolist() == [digit for digit in range(10) for _ in range(3)]
    samples = source.take(np.array([29, 4]))
    for spikes, digit, n in ((samples.images[0], 9, 2), (samples.images[1], 1, 1)):
        assert np.argwhere(spikes).tolist() == [[0, digit, n, 1], [3, 33, 33, 0]]
    assert samples.labels.tolist() == [9, 1]
    half = nmnist_dataset(tmp_path, (17, 17), 2).load().train.take(np.array([29])).images[0]
    assert np.argwhere(half).tolist() == [[0, 4, 1, 1], [1, 16, 16, 0]]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (nmnist_bytes([(1, 2, 3, 1)] * 3)[:-2], "the recording is cut off in event 2, got '13 bytes', allowed: events"),
        (b"", "the recording holds no event$"),
        (nmnist_bytes([(0, 240, 0, 0)]), "the recording holds no event$"),
        (nmnist_bytes([(1, 2, 3, 1), (1, 2, 34, 1)]), r"event 1: an event lies outside the sensor, got 'y 2, x 34'"),
        (
            nmnist_bytes([(1, 34, 3, 1)]),
            r"event 0: an event lies outside the sensor, got 'y 34, x 3', allowed: y 0\.\.",
        ),
    ],
)
def test_words_for_broken_recordings(tmp_path: Path, content: bytes, text: str) -> None:
    dataset = nmnist_dataset(write_nmnist(tmp_path), (34, 34), 2)
    (tmp_path / "Train" / "3" / "00001.bin").write_bytes(content)
    with pytest.raises(InputError, match=rf"Train/3/00001\.bin: {text}"):
        dataset.load().train.take(np.array([7]))


def test_words_for_missing_files(tmp_path: Path) -> None:
    dataset = nmnist_dataset(write_nmnist(tmp_path / "a"), (34, 34), 2)
    (tmp_path / "a" / "Train" / "0" / "00000.bin").unlink()
    with pytest.raises(InputError, match=r"00000\.bin: cannot read the recording \(No such file or directory\)$"):
        dataset.load().train.take(np.array([0]))
    shutil.rmtree(write_nmnist(tmp_path / "b") / "Test" / "7")
    with pytest.raises(InputError, match=r"Test/7: cannot read the folder \(No such file or directory\), allowed: Tra"):
        nmnist_dataset(tmp_path / "b", (34, 34), 2)
    for path in (write_nmnist(tmp_path / "c") / "Train" / "2").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"Train/2: the folder holds no recording, allowed: Train/0\.\.9"):
        nmnist_dataset(tmp_path / "c", (34, 34), 2)


def test_which_networks_it_fits() -> None:
    assert fits(load_network("nmnist-cnn"))
    assert not fits(load_network("dvsgesture-cnn"))
    assert not fits(load_network("digits-conv"))
