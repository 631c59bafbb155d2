"""A data set: images or spikes with labels, split for good, and seeded batches that can be entered anywhere.

`Dataset` is all that training knows of one. A new one is a module that fills it in, and an entry of the catalogue in
workloads/datasets.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from workloads.network import DIRECT, SPIKES, InputSpec, Network

_ORDER_STREAM = 1  # keeps the order's random numbers apart from those of the initial weights
_LARGEST_SIGNED_BYTE = 127

Images = NDArray[np.uint8] | NDArray[np.int8]


@dataclass(frozen=True)
class Samples:
    """Images [N, H, W, C] of bytes, or spikes [N, T, H, W, C], with their labels [N], 0 .. classes - 1."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """Return the chosen samples as arrays of their own, which are read-only."""
        return frozen(self.images[indices], self.labels[indices])


class SampleSource(Protocol):
    """Samples that need not all be in memory: `Samples` are, others read or make those that are taken."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels [N] of all samples."""

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """Return the chosen samples; the same ones every time."""


@dataclass(frozen=True)
class Split:
    """Samples to train on, and samples held out."""

    train: SampleSource
    held_out: SampleSource


class Augmentation(Protocol):
    """A small random change of images that leaves their labels true."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Random numbers for `count` images, one row each."""

    def apply(self, images: NDArray[np.uint8], draws: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Change each of images [N, ..., H, W, C] as its row of `draws` says."""


class Unchanged:
    """No augmentation: for samples whose labels no change of the picture leaves true."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Nothing is drawn."""
        return np.zeros(count, np.int64)

    def apply(self, images: NDArray[np.uint8], draws: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images as they are."""
        return images


@dataclass(frozen=True)
class Dataset:
    """A data set called `name`, of `training` images to train on and `held_out` images, [H, W, C] each being `shape`.

    Bytes reach up to `largest_byte`. `load` reads the images; everything else is known without them. `description` is a
    sentence for traces and reports. With `coding` "spikes" a sample is [T, H, W, C] of 0 and 1, T being `timesteps`.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    largest_byte: int
    training: int
    held_out: int
    load: Callable[[], Split]
    augmentation: Augmentation
    description: str = ""
    coding: str = DIRECT
    timesteps: int = 1

    @property
    def accepted_input(self) -> str:
        """The network input that these images can be fed to, in words."""
        unsigned = "" if self.largest_byte <= _LARGEST_SIGNED_BYTE else "unsigned "
        return f"{unsigned}{self.coding} {list(self.shape)}"

    def fits(self, network: Network) -> bool:
        """Whether the images can be fed to the network's input."""
        source = network.input
        shape = (source.height, source.width, source.data_channels)
        holds = not source.signed or self.largest_byte <= _LARGEST_SIGNED_BYTE
        in_time = self.coding == DIRECT or self.timesteps == network.timesteps
        return source.coding == self.coding and shape == self.shape and holds and in_time

    def check_network(self, network: Network) -> None:
        """Raise InputError if the images cannot be fed to `network`, or it has fewer outputs than there are classes."""
        if not self.fits(network):
            raise unfit(network, self.name, self.accepted_input)
        if network.classes < self.classes:
            what = f"too few outputs for the {self.name}"
            raise InputError(what, f"{network.name}: layers", network.classes, f">= {self.classes}")

    def steps_per_epoch(self, batch: int) -> int:
        """Batches of one epoch; the last, incomplete batch is dropped. Raises InputError if there is not one."""
        if not 1 <= batch <= self.training:
            raise InputError("wrong value", "batch", batch, f"1..{self.training}, the number of training images")
        return self.training // batch

    def epoch_batches(self, seed: int, epoch: int, batch: int, first: int = 0) -> Iterator[Samples]:
        """Yield the batches of epoch `epoch` (from 0), from batch `first` on: permuted, augmented training images.

        Order and augmentation come from `seed` and `epoch` alone, so an epoch can be entered anywhere. What is left
        after the last whole batch is dropped; the next epoch permutes all images again.
        """
        train = self.load().train
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ORDER_STREAM, epoch)))
        order = rng.permutation(len(train.labels))
        draws = self.augmentation.draw(rng, len(order))
        for number in range(first, self.steps_per_epoch(batch)):
            chosen = slice(number * batch, (number + 1) * batch)
            samples = train.take(order[chosen])
            yield Samples(self.augmentation.apply(samples.images, draws[chosen]), samples.labels)


def input_words(source: InputSpec) -> str:
    """A network's input as errors show it, such as ``direct [8, 8, 1]``."""
    return f"{'signed ' if source.signed else ''}{source.coding} {[source.height, source.width, source.data_channels]}"


def unfit(network: Network, name: str, accepted: str) -> InputError:
    """The error for a data set that cannot be fed to a network."""
    what = f"the {name} cannot be fed to this network"
    return InputError(what, f"{network.name}: input", input_words(network.input), accepted)


def as_inputs(images: NDArray[np.uint8], network: Network) -> Images:
    """Return samples that fit `network` as its input has them: bytes [N, H, W, C], or spikes [T, N, H, W, C].

    Bytes of a signed input are int8; the numbers are the same. An input's constant channel is filled in.
    """
    if network.input.constant:
        plane = np.full((*images.shape[:-1], 1), network.input.constant, images.dtype)
        images = np.concatenate([images, plane], axis=-1)
    if network.input.coding == SPIKES:
        return np.ascontiguousarray(np.moveaxis(images, 1, 0))
    return images.astype(np.int8) if network.input.signed else images


def frozen(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Samples:
    """Return samples of these arrays, which become read-only."""
    images.flags.writeable = False
    labels.flags.writeable = False
    return Samples(images, labels)


def find_packaged_file(package: str, path: str) -> Path | None:
    """Return the file at `path` inside an installed package without importing it; None where there is none."""
    found = importlib.util.find_spec(package)
    folders = found.submodule_search_locations if found and found.submodule_search_locations else []
    files = (Path(folder) / path for folder in folders)
    return next((file for file in files if file.is_file()), None)
