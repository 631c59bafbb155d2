"""The data sets that training can choose from, and which one a network is trained on."""

from __future__ import annotations

from rtl_models.errors import InputError
from workloads.dataset import Dataset, input_words
from workloads.digits import DIGITS
from workloads.network import Network
from workloads.photographs import LARGE_PHOTOGRAPHS, PHOTOGRAPHS

DATASETS = {dataset.name: dataset for dataset in (DIGITS, PHOTOGRAPHS, LARGE_PHOTOGRAPHS)}


def choose_dataset(network: Network, name: str | None = None) -> Dataset:
    """Return the data set called `name`, else the first whose images have the shape of the network's input.

    Raises InputError if there is none, or if the network cannot be trained on it.
    """
    if name is not None and name not in DATASETS:
        raise InputError("unknown data set", "dataset", name, ", ".join(DATASETS))
    fitting = [dataset for dataset in DATASETS.values() if dataset.fits(network.input)]
    if name is None and not fitting:
        allowed = ", ".join(f"{dataset.accepted_input} ({name})" for name, dataset in DATASETS.items())
        what = "no data set has images of this shape"
        raise InputError(what, f"{network.name}: input", input_words(network.input), allowed)
    dataset = fitting[0] if name is None else DATASETS[name]
    dataset.check_network(network)
    return dataset
