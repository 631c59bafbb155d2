"""Recordings of tonic's kind as samples of spikes; tonic's own transforms, slicers and a data set of its files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_models.errors import InputError
from tests.workloads.files import nmnist_bytes
from tests.workloads.synthetic import small_network
from tlm.cli.main import main
from workloads import datasets
from workloads.dataset import Dataset
from workloads.datasets import choose_dataset, register
from workloads.events import bin_events
from workloads.nmnist import read_events
from workloads.tonic_events import tonic_dataset
from workloads.tonic_named import NamedRecordings

FIELDS = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])
SENSOR = (4, 6)
NETWORK = small_network(
    input={"shape": [2, 3, 2], "coding": "spikes"}, timesteps=2, layers=[{"linear": 5}, {"linear": 3}]
)


class Recorded:
    """Recordings in memory, as tonic has them."""

    sensor_size = (6, 4, 2)

    def __init__(self, items: list[tuple[Any, Any]]) -> None:
        self.items = items
        self.targets = [label for _, label in items]
        self.read = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self.read += 1
        return self.items[index]


def events(*rows: tuple[int, int, int, int], dtype: Any = FIELDS) -> NDArray[Any]:
    """Rows of x, y, t, p."""
    return np.array(list(rows), dtype)


def recorded() -> Recorded:
    """Three recordings: the number of their label in events."""
    rows = [(5, 3, 0, 1), (0, 0, 1000, 0), (4, 1, 1999, 1)]
    return Recorded([(events(*rows[: label + 1]), label) for label in range(3)])


def samples(recordings: Any, plane: tuple[int, int] = (2, 3), **options: Any) -> NDArray[np.uint8]:
    dataset = tonic_dataset(recordings, recorded(), plane, 2, **options)
    return dataset.load().train.take(np.arange(len(recordings))).images


class TestRecordings:
    def test_events_become_spikes(self) -> None:
        recordings = recorded()
        dataset = tonic_dataset(recordings, recorded(), (2, 3), 2, name="mine")
        assert recordings.read == 0  # labels are known without
        assert (dataset.name, dataset.shape, dataset.classes, dataset.timesteps) == ("mine", (2, 3, 2), 3, 2)
        assert (dataset.training, dataset.held_out, dataset.coding) == (3, 3, "spikes")
        taken = dataset.load().train.take(np.array([2, 0]))
        assert np.argwhere(taken.images[0]).tolist() == [[0, 1, 2, 1], [1, 0, 0, 0], [1, 0, 2, 1]]
        assert np.argwhere(taken.images[1]).tolist() == [[0, 1, 2, 1]]
        assert taken.labels.tolist() == [2, 0]
        assert not taken.images.flags.writeable

    def test_the_same_as_our_own_reader(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(3)
        rows = [
            (int(t), *(int(v) for v in rng.integers(0, 34, 2)), int(rng.integers(2)))
            for t in np.sort(rng.integers(0, 3e5, 99))
        ]
        (tmp_path / "a.bin").write_bytes(nmnist_bytes(rows))
        ours = read_events(tmp_path / "a.bin")
        spikes = bin_events(ours, ours.window(), 5, (34, 34), (17, 17))
        read = Recorded([(events(*((x, y, t, p) for t, y, x, p in rows)), 1)])
        theirs = tonic_dataset(read, read, (17, 17), 5, sensor=(34, 34)).load().train.take(np.array([0]))
        np.testing.assert_array_equal(theirs.images[0], spikes)

    def test_transforms_of_events_and_into_frames(self) -> None:
        def earlier(recorded: NDArray[Any]) -> NDArray[Any]:
            return recorded[recorded["t"] < 1500]

        assert samples(recorded(), transform=earlier)[2].sum() == 2
        frames = np.zeros((2, 2, 2, 3))
        frames[1, 0, 1, 2] = 7
        found = samples(recorded(), transform=lambda _: frames)
        assert np.argwhere(found[0]).tolist() == [[1, 1, 2, 0]]
        assert found.max() == 1

    def test_labels_that_a_transform_changes_are_read(self) -> None:
        recordings = recorded()
        recordings.items = [(array, label + 4) for array, label in recordings.items]
        recordings.target_transform = lambda label: label  # type: ignore[attr-defined]
        dataset = tonic_dataset(recordings, recorded(), (2, 3), 2)
        assert recordings.read == 3
        assert dataset.load().train.labels.tolist() == [4, 5, 6]
        assert dataset.classes == 7

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (events(), "mine: sample 0: the recording holds no event"),
            (events((6, 0, 0, 0)), "mine: sample 0: event 0: an event lies outside the sensor, got 'y 0, x 6'"),
            (
                events((0, 0, 0, 1), (0, 0, 1, -1), dtype=[(name, int) for name in "xytp"]),
                "mine: sample 0: event 1: the polarity of an event is neither 0 nor 1, got -1, allowed: 0, 1",
            ),
            (
                np.zeros(2, [("x", int), ("t", int)]),
                "mine: sample 0: events without y, p, got ['x', 't'], allowed: x, y,",
            ),
            (
                np.zeros((3, 2, 2, 3)),
                "mine: sample 0: neither events nor frames that fit, got [3, 2, 2, 3], allowed: events, ",
            ),
        ],
    )
    def test_words_of_recordings_that_cannot_be_used(self, array: Any, words: str) -> None:
        with pytest.raises(InputError) as caught:
            samples(Recorded([(array, 0)]), name="mine")
        assert str(caught.value).startswith(words)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (
                lambda: tonic_dataset(Recorded([(events(), "two")]), recorded(), (2, 3), 2),
                "tonic: sample 0: the label is no class, got 'two', allowed: whole numbers from 0",
            ),
            (lambda: tonic_dataset(Recorded([]), recorded(), (2, 3), 2), "tonic: train: there is no recording"),
            (
                lambda: tonic_dataset([(events(), 0)], recorded(), (2, 3), 2),
                "tonic: sensor: the recordings do not say how large their sensor is, allowed: (rows, columns)",
            ),
            (
                lambda: tonic_dataset(recorded(), recorded(), (3, 3), 2),
                "tonic: plane: the sensor's rows and columns cannot be grouped into those of the plane, got [3, 3]",
            ),
            (
                lambda: tonic_dataset(recorded(), recorded(), (2, 3), 2, classes=2),
                "tonic: classes: the labels are of more classes, got 2, allowed: >= 3",
            ),
        ],
    )
    def test_words_of_data_sets_that_cannot_be(self, make: Callable[[], Dataset], words: str) -> None:
        with pytest.raises(InputError) as caught:
            make()
        assert str(caught.value).startswith(words)

    def test_words_of_a_file_that_cannot_be_read(self) -> None:
        class CutOff(Recorded):
            def __getitem__(self, index: int) -> tuple[Any, Any]:
                raise ValueError("operands could not be broadcast")

        words = r"^tonic: sample 0: the recording cannot be read \(operands could not be broadcast\)$"
        with pytest.raises(InputError, match=words):
            samples(CutOff(recorded().items))


@pytest.fixture
def kept() -> Iterator[None]:
    """Nothing that a test registers stays."""
    before = dict(datasets.DATASETS)
    yield
    datasets.DATASETS.clear()
    datasets.DATASETS.update(before)


@pytest.mark.usefixtures("kept")
def test_registered_data_trains_a_network() -> None:
    dataset = tonic_dataset(recorded(), recorded(), (2, 3), 2, name="mine")
    register(dataset)
    assert choose_dataset(NETWORK, "mine") is dataset
    for name in ("mine", "digits", "tonic:mine"):
        with pytest.raises(InputError, match=rf"^dataset: the name of a data set is taken, got '{name}'$"):
            register(tonic_dataset(recorded(), recorded(), (2, 3), 2, name=name))


def test_without_tonic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("tonic", "tonic.datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    out = str(tmp_path / "step.h5")
    assert main(["train", "nmnist-cnn", "--dataset", "tonic:NMNIST", "--data", str(tmp_path), "--out", out]) == 2
    assert "this needs the package tonic: pip install 'h2learn[tonic]'" in capsys.readouterr().err


class TestTonicItself:
    """One process imports tonic, and with it PyTorch, for all of these."""

    @pytest.fixture(autouse=True)
    def tonic(self) -> Any:
        return pytest.importorskip("tonic")

    def test_slices_and_transforms(self, tonic: Any) -> None:
        sliced = tonic.SlicedDataset(recorded(), tonic.slicers.SliceByEventCount(event_count=1))
        assert len(sliced) == 1 + 2 + 3
        found = tonic_dataset(sliced, recorded(), (2, 3), 2)  # the sensor is that of what is sliced
        assert found.load().train.labels.tolist() == [0, 1, 1, 2, 2, 2]
        assert found.load().train.take(np.arange(6)).images.sum(axis=(1, 2, 3, 4)).tolist() == [1] * 6
        transforms = tonic.transforms
        frames = transforms.Compose(
            [
                transforms.Downsample(spatial_factor=0.5),
                transforms.ToFrame(sensor_size=(3, 2, 2), n_time_bins=2),
            ]
        )
        ours, theirs = samples(recorded()), samples(recorded(), transform=frames)
        assert theirs[2].sum() >= 2
        assert (theirs <= ours.max(axis=1, keepdims=True)).all()
        denoised = samples(recorded(), transform=transforms.TimeSkew(coefficient=2.0))
        np.testing.assert_array_equal(denoised, ours)

    def test_a_data_set_by_its_name(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_poker(tmp_path)
        net = small_network(input={"shape": [7, 7, 2], "coding": "spikes"}, timesteps=2)
        dataset = choose_dataset(net, "tonic:POKERDVS", tmp_path)
        assert (dataset.training, dataset.held_out, dataset.classes) == (24, 24, 4)
        taken = dataset.load().train.take(np.array([0, 23]))
        assert taken.labels.tolist() == [dataset.load().train.labels[0], dataset.load().train.labels[23]]
        assert np.argwhere(taken.images[0]).tolist() == [[0, 0, 0, 1], [1, 6, 6, 0]]
        assert choose_dataset(net, "tonic:POKERDVS", tmp_path) is dataset
        words = r"^dataset: unknown data set, got 'tonic:SHD', allowed: .*tonic:NMNIST, tonic:POKERDVS$"
        with pytest.raises(InputError, match=words):
            choose_dataset(net, "tonic:SHD", tmp_path)
        with pytest.raises(InputError, match=r"cannot be fed to this network"):
            choose_dataset(small_network(), "tonic:POKERDVS", tmp_path)
        with pytest.raises(InputError, match=r"^data: the files of tonic:NMNIST are needed, got 'nothing'"):
            choose_dataset(net, "tonic:NMNIST")

    def test_sides_of_the_sensor_parts_and_classes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tonic: Any
    ) -> None:
        """Those of tonic's own that need no other package have square sensors."""

        class Oblong:
            sensor_size = (6, 4, 2)  # columns, rows
            classes = ("a", "b", "c", "d", "e")

            def __init__(self, save_to: str, train: bool = True) -> None:
                assert save_to == str(tmp_path)
                self.targets = [0, 1, 2] if train else [1, 0]

            def __len__(self) -> int:
                return len(self.targets)

            def __getitem__(self, index: int) -> tuple[NDArray[Any], int]:
                return np.array([(5, 0, 0, 1), (0, 3, 9, 0)], FIELDS), self.targets[index]

        monkeypatch.setattr(tonic.datasets, "OBLONG", Oblong, raising=False)
        named = NamedRecordings("tonic:OBLONG")
        assert named.sensor == (4, 6)
        assert named.accepts == "spikes [H, W, 2], H dividing 4 and W 6"
        for plane, fits in (((4, 6), True), ((2, 3), True), ((6, 4), False)):
            assert named.fits(small_network(input={"shape": [*plane, 2], "coding": "spikes"})) is fits
        dataset = named.dataset(tmp_path, (4, 6), 2)
        split = dataset.load()
        assert (split.train.labels.tolist(), split.held_out.labels.tolist()) == ([0, 1, 2], [1, 0])
        assert (dataset.classes, dataset.name) == (5, "tonic:OBLONG")
        assert np.argwhere(split.train.take(np.array([0])).images[0]).tolist() == [[0, 0, 5, 1], [1, 3, 0, 0]]

    def test_nothing_is_downloaded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tonic: Any) -> None:
        monkeypatch.setattr(tonic.datasets.NMNIST, "download", pytest.fail)
        net = small_network(input={"shape": [17, 17, 2], "coding": "spikes"})
        words = r"NMNIST: tonic cannot read its files \(they are not there, or not all; h2learn downloads nothing\)"
        with pytest.raises(InputError, match=words):
            choose_dataset(net, "tonic:NMNIST", tmp_path)

    def test_nmnist_and_a_recording_cut_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tonic: Any) -> None:
        monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: True)  # 10,000 files a side
        for side in ("Train", "Test"):
            for digit in range(10):
                folder = tmp_path / "NMNIST" / side / str(digit)
                folder.mkdir(parents=True)
                (folder / "0.bin").write_bytes(nmnist_bytes([(100, digit, 1, 1), (300_000, 33, 33, 0)]))
        net = small_network(
            input={"shape": [34, 34, 2], "coding": "spikes"}, timesteps=2, layers=[{"linear": 4}, {"linear": 10}]
        )
        train = choose_dataset(net, "tonic:NMNIST", tmp_path).load().train
        assert np.argwhere(train.take(np.array([7])).images[0]).tolist() == [[0, 7, 1, 1], [1, 33, 33, 0]]
        (tmp_path / "NMNIST" / "Train" / "7" / "0.bin").write_bytes(nmnist_bytes([(100, 7, 1, 1)] * 3)[:-2])
        with pytest.raises(InputError, match=r"^tonic:NMNIST: sample 7: the recording cannot be read \("):
            train.take(np.array([7]))


def write_poker(folder: Path, each: int = 6) -> None:
    """POKER-DVS as tonic keeps it: columns t, x, y, p of pips in a folder each."""
    for side in ("train", "test"):
        (folder / "POKERDVS").mkdir(exist_ok=True)
        (folder / "POKERDVS" / f"pips_{side}.tar.gz").touch()
        for pip in ("cl", "he", "di", "sp"):
            place = folder / "POKERDVS" / f"pips_{side}" / pip
            place.mkdir(parents=True)
            for number in range(each):
                np.save(place / f"{number}.npy", np.array([[0, number % 5, 0, 1], [100 + number, 34, 34, 0]]))
