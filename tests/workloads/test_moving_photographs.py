"""Photographs before a moving event camera: the motion, the split, the spikes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.workloads.synthetic import small_network
from workloads import moving_photographs
from workloads.event_camera import count_events
from workloads.moving_photographs import (
    LARGEST_HEIGHT,
    LARGEST_WIDTH,
    MARGIN,
    Places,
    event_camera_dataset,
    fits,
    in_bins,
    saccades,
)
from workloads.network import load_network

PLANE = (34, 34)


def test_three_saccades_along_an_equilateral_triangle() -> None:
    turns = set()
    for seed in range(50):
        path = saccades(np.random.default_rng(seed), 36)
        assert path.shape == (37, 2)
        assert path[0] == pytest.approx(path[-1])
        corners = path[[0, 12, 24]]
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        assert sides == pytest.approx([6.0] * 3)
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert steps == pytest.approx([0.5] * 36)
        assert np.abs(path).max() < MARGIN
        assert path[:-1].mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
        turns.add(float(np.sign(np.linalg.det(np.diff(corners, axis=0)))))
    assert turns == {-1.0, 1.0}


@pytest.mark.parametrize("plane", [PLANE, (32, 32), (8, 6), (64, 64), (LARGEST_HEIGHT, LARGEST_WIDTH)])
def test_no_pixel_is_on_both_sides_and_labels_name_the_cell(plane: tuple[int, int]) -> None:
    seen = []
    for held_out in (False, True):
        places = Places.of(plane, held_out)
        used = np.zeros((2, 427, 640), np.bool_)
        for photograph, y, x in zip(places.photograph, places.y, places.x, strict=True):
            used[photograph, y : y + plane[0] + 2 * MARGIN, x : x + plane[1] + 2 * MARGIN] = True
        assert (places.photograph * 5 + places.x // 128 == places.labels).all()
        assert (places.photograph * 5 + (places.x + plane[1] + 2 * MARGIN - 1) // 128 == places.labels).all()
        assert places.y.max() + plane[0] + 2 * MARGIN <= 427
        assert np.unique(places.labels).tolist() == list(range(10))
        contrasts = [
            np.ptp(moving_photographs._brightness(photograph)[y : y + plane[0] + 8, x : x + plane[1] + 8])
            for photograph, y, x in zip(places.photograph, places.y, places.x, strict=True)
        ]
        poor = np.array(contrasts) < 0.6 * 65536
        assert all((places.labels == label).sum() == 1 for label in places.labels[poor])  # nothing better
        seen.append(used)
    assert not (seen[0] & seen[1]).any()


def test_samples_do_not_depend_on_what_is_taken_with_them() -> None:
    source = event_camera_dataset(PLANE, 6).load().train
    chosen = source.take(np.array([7, 1500, 7]))
    assert chosen.images.shape == (3, 6, *PLANE, 2)
    assert np.array_equal(chosen.images[0], chosen.images[2])
    assert np.array_equal(chosen.images[1], source.take(np.array([1500])).images[0])
    assert chosen.labels.tolist() == source.labels[[7, 1500, 7]].tolist()
    assert not np.array_equal(
        chosen.images[0], event_camera_dataset(PLANE, 6).load().held_out.take(np.array([7])).images[0]
    )


def test_samples_are_fixed() -> None:
    digest = hashlib.sha256()
    for source in (event_camera_dataset(PLANE, 10).load().train, event_camera_dataset((32, 32), 10).load().held_out):
        digest.update(np.packbits(source.take(np.arange(0, 90, 9)).images).tobytes())
    assert digest.hexdigest() == "22c4a2d19afe0fa2bc5eb61f75fddd09e9bb9063a341d12683a51b0512642ecb"


def test_spikes_are_the_events_of_the_frames_that_the_camera_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against frames looked up pixel by pixel with whole-number motion, where nothing is between pixels."""
    path = np.array([[0, 0], [1, 0], [1, 2], [-1, 2], [-3, -1]] + [[0, 0]] * 32, np.float64)
    monkeypatch.setattr(moving_photographs, "saccades", lambda rng, moves: path[: moves + 1])
    places = Places.of(PLANE, held_out=False)
    spikes = event_camera_dataset(PLANE, 9).load().train.take(np.array([1234])).images[0]
    luma = moving_photographs._luma(int(places.photograph[1234]))
    top, left = places.y[1234] + MARGIN, places.x[1234] + MARGIN
    frames = [luma[top + int(y) : top + int(y) + 34, left + int(x) : left + int(x) + 34] for y, x in path]
    counts = count_events(np.stack(frames))
    assert np.array_equal(spikes[0, ..., 1], (counts[:4] > 0).any(axis=0))
    assert np.array_equal(spikes[0, ..., 0], (counts[:4] < 0).any(axis=0))
    assert spikes[1].any()  # the way back
    assert not spikes[2:].any()  # at rest


def test_a_camera_at_rest_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_photographs, "saccades", lambda rng, moves: np.full((moves + 1, 2), 0.3))
    assert not event_camera_dataset(PLANE, 6).load().train.take(np.arange(4)).images.any()


def test_bins_hold_whole_groups_of_intervals() -> None:
    counts: NDArray[np.int64] = np.array([2, 0, -1, 0, 0, 0, -3, 1]).reshape(8, 1, 1)
    assert in_bins(counts, 4)[:, 0, 0].tolist() == [[0, 1], [1, 0], [0, 0], [1, 1]]


def test_which_networks_it_fits() -> None:
    assert fits(load_network("nmnist-cnn"))
    assert fits(load_network("dvsgesture-cnn"))
    assert not fits(load_network("cifar-cnn"))
    for shape, right in (
        ([LARGEST_HEIGHT, LARGEST_WIDTH, 2], True),
        ([LARGEST_HEIGHT + 1, 8, 2], False),
        ([8, LARGEST_WIDTH + 1, 2], False),
        ([8, 8, 1], False),
    ):
        layers = [{"linear": 4}, {"linear": 10}]
        assert fits(small_network(input={"shape": shape, "coding": "spikes"}, layers=layers)) == right


def test_what_it_says_of_itself() -> None:
    dataset = event_camera_dataset(PLANE, 10)
    assert dataset.name == "event-camera-model"
    for part in ("contrast threshold 0.2", "3 saccades of 6 pixels", "in 10 bins"):
        assert part in dataset.description
