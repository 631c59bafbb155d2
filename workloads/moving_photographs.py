"""Event data where no recording is at hand: photographs seen by a model of an event camera that moves.

The camera looks at a crop of one of scikit-learn's photographs and makes three saccades along an equilateral triangle,
as the camera that recorded N-MNIST did (G. Orchard et al., Frontiers in Neuroscience 9:437, 2015). The side is 6
pixels: what the 34 x 34 pixels of an N-MNIST recording leave to a digit of 28 x 28. Orientation and sense of the
triangle are drawn for every crop, once for good. Crops without contrast (sky, shadow: brightness differs by less than
three thresholds anywhere in them) are left out, since a camera sees nothing of them. How many events the others give
follows from the photographs, the motion and the camera's threshold, and nothing else.

The label of a crop is the cell of a grid that it was cut from, as in workloads/photographs.py: 5 cells a photograph.
What is learned is to tell places apart; it is no replacement for gestures or digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from workloads.dataset import Dataset, Samples, Split, frozen
from workloads.event_camera import BRIGHTNESS_UNITS, CONTRAST_THRESHOLD, brightness, count_events
from workloads.events import POLARITIES, Sensor
from workloads.network import SPIKES, Network
from workloads.photographs import CELL_WIDTH, CELLS, CLASSES, FILES, STEP, Mirror, read_photograph

NAME = "event-camera-model"
SACCADES = 3
SACCADE_PIXELS = 6.0
MARGIN = 4  # pixels around a crop that the motion may reach: the triangle's corners are 6 / sqrt(3) from its centre
LEAST_CONTRAST = 3  # thresholds
MOST_BANDS = 4
LARGEST_HEIGHT = 427 // 2 - 2 * MARGIN  # a photograph's rows hold a crop to train on and one held out
LARGEST_WIDTH = CELL_WIDTH - 2 * MARGIN
_LARGEST_MOVE = 0.5  # pixels between frames
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601
_MOTION_SEED = 0x5ACC
ACCEPTED = f"spikes [H, W, 2] up to [{LARGEST_HEIGHT}, {LARGEST_WIDTH}, 2]"


def fits(network: Network) -> bool:
    """Whether the camera can have as many pixels as the network's input."""
    source = network.input
    right = source.coding == SPIKES and source.data_channels == POLARITIES
    return right and source.height <= LARGEST_HEIGHT and source.width <= LARGEST_WIDTH


@cache
def event_camera_dataset(plane: Sensor, timesteps: int) -> Dataset:
    """Return the data set for a camera of `plane` pixels, its events in `timesteps` bins."""
    places, held_out = Places.of(plane, held_out=False), Places.of(plane, held_out=True)
    split = Split(CameraSamples(places, plane, timesteps, 0), CameraSamples(held_out, plane, timesteps, 1))
    return Dataset(
        NAME,
        (*plane, POLARITIES),
        CLASSES,
        1,
        len(places.labels),
        len(held_out.labels),
        lambda: split,
        Mirror(),
        f"model of an event camera, contrast threshold {CONTRAST_THRESHOLD:g}, that makes {SACCADES} saccades of "
        f"{SACCADE_PIXELS:g} pixels over crops of two photographs, in {timesteps} bins, mirrored at random; the label "
        "is the cell of a grid that a crop comes from",
        SPIKES,
        timesteps,
    )


@dataclass(frozen=True)
class Places:
    """Upper left corners (`y`, `x`) of the crops, margin included, in photograph `photograph`, and their `labels`."""

    photograph: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, plane: Sensor, held_out: bool) -> Places:
        """Cut cells into bands, one above the other; the lowest rows of a band are held out, so no pixel is on both."""
        height, width = plane[0] + 2 * MARGIN, plane[1] + 2 * MARGIN
        bands = min(MOST_BANDS, 427 // (2 * height))
        band_height = 427 // bands
        down = [band_height - height] if held_out else range(0, band_height - 2 * height + 1, STEP)
        across = range(0, CELL_WIDTH - width + 1, width if held_out else STEP)
        corners = [
            (label // CELLS, band * band_height + y, label % CELLS * CELL_WIDTH + x, label)
            for label in range(CLASSES)
            for band in range(bands)
            for y in down
            for x in across
        ]
        kept = _with_contrast(corners, (height, width))
        photograph, y, x, labels = np.array([corners[index] for index in kept], np.int64).T
        return cls(photograph, y, x, labels)


class CameraSamples:
    """Spikes [T, H, W, 2] of the crops at `places`, made when they are taken: nothing is held but the photographs."""

    def __init__(self, places: Places, plane: Sensor, timesteps: int, stream: int) -> None:
        self._places = places
        self._plane = plane
        self._timesteps = timesteps
        self._stream = stream
        self.labels = places.labels
        self.labels.flags.writeable = False

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """Return the chosen samples, read-only."""
        spikes = np.empty((len(indices), self._timesteps, *self._plane, POLARITIES), np.uint8)
        for number, index in enumerate(indices):
            spikes[number] = self._spikes(int(index))
        return frozen(spikes, self.labels[indices])

    def _spikes(self, index: int) -> NDArray[np.uint8]:
        places, (height, width) = self._places, self._plane
        y, x = places.y[index], places.x[index]
        scene = _luma(int(places.photograph[index]))[y : y + height + 2 * MARGIN, x : x + width + 2 * MARGIN]
        rng = np.random.default_rng([_MOTION_SEED, self._stream, index])
        frames = -(-int(np.ceil(SACCADES * SACCADE_PIXELS / _LARGEST_MOVE)) // self._timesteps)
        path = saccades(rng, frames * self._timesteps)
        counts = count_events(np.stack([_look(scene, shift, self._plane) for shift in path]))
        return in_bins(counts, self._timesteps)


def saccades(rng: np.random.Generator, moves: int) -> NDArray[np.float64]:
    """Return the camera's places [moves + 1, 2], down and right of the middle, along a triangle of random turn."""
    turn, sense = rng.uniform(0.0, 2.0 * np.pi), rng.choice([-1.0, 1.0])
    angles = turn + sense * 2.0 * np.pi * np.arange(SACCADES + 1) / SACCADES
    radius = SACCADE_PIXELS / np.sqrt(3.0)
    corners = radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    along = np.arange(moves + 1) * SACCADES / moves
    return np.stack([np.interp(along, np.arange(SACCADES + 1), corners[:, axis]) for axis in (0, 1)], axis=1)


def in_bins(counts: NDArray[np.int64], timesteps: int) -> NDArray[np.uint8]:
    """Return spikes [T, H, W, 2] of counted events [T n, H, W], n intervals to a bin."""
    grouped = counts.reshape(timesteps, -1, *counts.shape[1:])
    return np.stack([(grouped < 0).any(axis=1), (grouped > 0).any(axis=1)], axis=-1).astype(np.uint8)


def _with_contrast(corners: list[tuple[int, int, int, int]], size: Sensor) -> list[int]:
    """Indices of the crops of this size that have contrast; a label with none of them keeps its best crop."""
    contrasts: list[int] = []
    for photograph, y, x, _ in corners:
        contrasts.append(int(np.ptp(_brightness(photograph)[y : y + size[0], x : x + size[1]])))
    best: dict[int, int] = {}
    for index, (*_, label) in enumerate(corners):
        if contrasts[index] > contrasts[best.setdefault(label, index)]:
            best[label] = index
    enough = LEAST_CONTRAST * CONTRAST_THRESHOLD * BRIGHTNESS_UNITS
    return [i for i, corner in enumerate(corners) if contrasts[i] >= enough or best[corner[3]] == i]


def _look(scene: NDArray[np.float64], shift: NDArray[np.float64], plane: Sensor) -> NDArray[np.float64]:
    """Return the frame [H, W] that the camera sees at `shift`, bilinear between pixels."""
    height, width = plane
    whole = np.floor(shift).astype(np.int64)
    down, right = shift - whole
    y, x = whole + MARGIN
    upper, lower = scene[y : y + height], scene[y + 1 : y + 1 + height]
    rows = (1.0 - down) * upper + down * lower
    return np.asarray((1.0 - right) * rows[:, x : x + width] + right * rows[:, x + 1 : x + 1 + width])


@cache
def _brightness(photograph: int) -> NDArray[np.int64]:
    return brightness(_luma(photograph))


@cache
def _luma(photograph: int) -> NDArray[np.float64]:
    """Return the intensity 0..255 of a photograph, [427, 640]."""
    luma: NDArray[np.float64] = read_photograph(FILES[photograph]) @ _LUMA
    luma.flags.writeable = False
    return luma
