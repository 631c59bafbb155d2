"""The data sets that training can choose from, and which one a network is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rtl_models.errors import InputError
from workloads import cifar10, dvsgesture, moving_photographs, nmnist
from workloads.dataset import Dataset, input_words, unfit
from workloads.digits import DIGITS
from workloads.network import Network
from workloads.photographs import LARGE_PHOTOGRAPHS, PHOTOGRAPHS
from workloads.tonic_named import PREFIX, NamedRecordings, named_dataset


@dataclass(frozen=True)
class Catalogued:
    """One kind of data, as far as it is known without a network: `accepts` says in words which inputs it can be fed to.

    `make` builds it for a network whose input it `fits`, from the folder of its files where it has any: `files` says
    which, and `found` whether a folder seems to hold them. Data without files comes with the package.
    """

    name: str
    accepts: str
    fits: Callable[[Network], bool]
    make: Callable[[Network, Path], Dataset]
    files: str = ""
    found: Callable[[Path], bool] = lambda folder: False


def _packaged(dataset: Dataset) -> Catalogued:
    return Catalogued(dataset.name, dataset.accepted_input, dataset.fits, lambda network, folder: dataset)


def _plane(network: Network) -> tuple[int, int]:
    return network.input.height, network.input.width


DATASETS = {
    kind.name: kind
    for kind in (
        _packaged(DIGITS),
        _packaged(PHOTOGRAPHS),
        _packaged(LARGE_PHOTOGRAPHS),
        Catalogued(
            moving_photographs.NAME,
            moving_photographs.ACCEPTED,
            moving_photographs.fits,
            lambda network, folder: moving_photographs.event_camera_dataset(_plane(network), network.timesteps),
        ),
        Catalogued(
            cifar10.NAME,
            cifar10.ACCEPTED,
            cifar10.fits,
            lambda network, folder: cifar10.cifar10_dataset(folder),
            cifar10.FILES,
            cifar10.found,
        ),
        Catalogued(
            nmnist.NAME,
            nmnist.ACCEPTED,
            nmnist.fits,
            lambda network, folder: nmnist.nmnist_dataset(folder, _plane(network), network.timesteps),
            nmnist.FILES,
            nmnist.found,
        ),
        Catalogued(
            dvsgesture.NAME,
            dvsgesture.ACCEPTED,
            dvsgesture.fits,
            lambda network, folder: dvsgesture.dvsgesture_dataset(folder, _plane(network), network.timesteps),
            dvsgesture.FILES,
            dvsgesture.found,
        ),
    )
}


def register(dataset: Dataset) -> None:
    """Offer a data set of one's own to this process under its name; InputError for a name that is taken.

    Without a name it is chosen for networks that none of those before it can be fed to.
    """
    if dataset.name in DATASETS or dataset.name.startswith(PREFIX):
        raise InputError("the name of a data set is taken", "dataset", dataset.name)
    DATASETS[dataset.name] = _packaged(dataset)


def choose_dataset(network: Network, name: str | None = None, folder: str | Path | None = None) -> Dataset:
    """Return the data set called `name`, with its files in `folder` if it has any.

    A name such as ``tonic:NMNIST`` is that of a data set of tonic. Without a name it is the one whose files the folder
    holds; without a folder either, the first that comes with the package and can be fed to the network. Raises
    InputError if there is none, if the files cannot be used, or if the network cannot be trained on it.
    """
    where = None if folder is None else Path(folder)
    kind = _choose(network, name, where)
    if not kind.fits(network):
        raise unfit(network, kind.name, kind.accepts)
    dataset = kind.make(network, where if where is not None else Path())
    dataset.check_network(network)
    return dataset


def _choose(network: Network, name: str | None, folder: Path | None) -> Catalogued:
    kind = None if name is None else _named(name)
    if folder is not None and not folder.is_dir():
        raise InputError("no such folder", "data", str(folder))
    if kind is not None:
        name = kind.name
        if kind.files and folder is None:
            raise InputError(f"the files of {name} are needed", "data", "nothing", f"a folder with {kind.files}")
        if not kind.files and folder is not None:
            raise InputError(f"the {name} come with the package and are read from no folder", "data", str(folder))
        return kind
    if folder is not None:
        return _recognise(folder)
    fitting = [kind for kind in DATASETS.values() if not kind.files and kind.fits(network)]
    if not fitting:
        allowed = ", ".join(f"{kind.accepts} ({kind.name})" for kind in DATASETS.values() if not kind.files)
        what = "no data set has images of this shape"
        raise InputError(what, f"{network.name}: input", input_words(network.input), allowed)
    return fitting[0]


def _named(name: str) -> Catalogued:
    if name in DATASETS:
        return DATASETS[name]
    if not name.startswith(PREFIX):
        raise InputError("unknown data set", "dataset", name, f"{', '.join(DATASETS)}, or {PREFIX}NAME")
    known = NamedRecordings(name)
    return Catalogued(
        name,
        known.accepts,
        known.fits,
        lambda network, folder: named_dataset(name, folder, _plane(network), network.timesteps),
        known.files,
    )


def _recognise(folder: Path) -> Catalogued:
    """Return the kind of data whose files the folder holds."""
    read = [kind for kind in DATASETS.values() if kind.files]
    for kind in read:
        if kind.found(folder):
            return kind
    allowed = "; ".join(f"{kind.files} ({kind.name})" for kind in read)
    raise InputError("the folder holds no data set that can be read", "data", str(folder), allowed)
