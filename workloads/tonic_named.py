"""Data sets that tonic knows by name, read from a folder in which tonic keeps its files; nothing is downloaded."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from workloads.dataset import Dataset
from workloads.events import POLARITIES, Sensor, divides
from workloads.extras import require
from workloads.network import SPIKES, Network
from workloads.tonic_events import tonic_dataset

PREFIX = "tonic:"


class NamedRecordings:
    """The data set of tonic called `name` (``tonic:NMNIST``): one with a split, classes and events of two polarities.

    Raises InputError where tonic is missing or has no such data set.
    """

    def __init__(self, name: str) -> None:
        module = require("tonic.datasets", "tonic")
        fitting = {other: kind for other, kind in vars(module).items() if _can_be_used(kind)}
        self.name = name
        found = fitting.get(name.removeprefix(PREFIX))
        if found is None:
            allowed = ", ".join(PREFIX + other for other in sorted(fitting))
            raise InputError("unknown data set", "dataset", name, allowed)
        self._class: Any = found
        columns, rows, _ = self._class.sensor_size
        self.sensor: Sensor = (rows, columns)

    @property
    def accepts(self) -> str:
        """The network inputs that it can be fed to, in words."""
        return f"spikes [H, W, {POLARITIES}], H dividing {self.sensor[0]} and W {self.sensor[1]}"

    @property
    def files(self) -> str:
        """What the folder of its files holds, in words."""
        return f"tonic's folder {self._class.__name__}"

    def fits(self, network: Network) -> bool:
        """Whether the events can be fed to the network's input."""
        source = network.input
        plane = (source.height, source.width)
        return source.coding == SPIKES and source.data_channels == POLARITIES and divides(plane, self.sensor)

    def dataset(self, folder: Path, plane: Sensor, timesteps: int, download: bool = False) -> Dataset:
        """Return the data set whose files tonic keeps in `folder`; with `download` tonic may fetch missing ones.

        Raises InputError for files that are not there or cannot be read, and as `tonic_dataset` does.
        """
        train, held_out = (self._open(folder, part, download) for part in (True, False))
        return tonic_dataset(train, held_out, plane, timesteps, name=self.name, classes=len(self._class.classes))

    def _open(self, folder: Path, train: bool, download: bool) -> Any:
        kind = self._class if download else type(self._class.__name__, (self._class,), {"download": _refuse})
        try:
            return kind(save_to=str(folder), train=train)
        except (OSError, RuntimeError, ValueError) as error:
            where = folder / self._class.__name__
            raise InputError(f"tonic cannot read its files ({error})", str(where), allowed=self.files) from error


@cache
def named_dataset(name: str, folder: Path, plane: Sensor, timesteps: int) -> Dataset:
    """Return a data set of tonic by its name, opened once; raises InputError as `NamedRecordings` does."""
    return NamedRecordings(name).dataset(folder, plane, timesteps)


def _can_be_used(kind: Any) -> bool:
    """Whether a name of tonic's is that of a data set with a split into two, classes, and two polarities."""
    size = getattr(kind, "sensor_size", None)
    if not inspect.isclass(kind) or not isinstance(size, tuple) or size[2] != POLARITIES:
        return False
    return hasattr(kind, "classes") and "train" in inspect.signature(kind).parameters


def _refuse(_recordings: Any) -> None:
    """Stand in for tonic's `download`."""
    raise FileNotFoundError("they are not there, or not all; h2learn downloads nothing")
