"""Files of weights: trainings of a network that names one start from them; files that do not fit are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from rtl_models.errors import InputError
from tests.workloads.synthetic import small_network
from workloads.initialise import initial_weights
from workloads.learner import starting_weights
from workloads.network import load_network
from workloads.sealed_file import write_sealed
from workloads.stages import capture_stages
from workloads.trace_file import open_trace
from workloads.training_settings import FLOAT32, TrainingSettings
from workloads.weights_file import WEIGHTS, write_weights

TINY = small_network(
    name="tiny", input={"shape": [8, 8, 1], "exponent": 4}, timesteps=2, layers=[{"linear": 7}, {"linear": 10}]
)
GIVEN = initial_weights(TINY, 77)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A network file that names weights beside it."""
    write_weights(tmp_path / "w.h5", TINY.layers, GIVEN)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY.to_dict() | {"weights": "w.h5"}))
    return path


def test_training_starts_from_the_weights_of_the_file(file: Path) -> None:
    network = load_network(str(file))
    assert network.weights is not None
    assert replace(network, weights=None) == TINY
    assert network.to_dict() == TINY.to_dict()
    for settings in (TrainingSettings(network, 1, 1), TrainingSettings(network, 1, 1, learner=FLOAT32, seed=5)):
        for got, expected in zip(starting_weights(settings), GIVEN, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_the_same_weights_give_the_same_file(file: Path, tmp_path: Path) -> None:
    again = write_weights(tmp_path / "again.h5", TINY.layers, GIVEN)
    assert load_network(str(file)).weights == replace(again, path=tmp_path / "w.h5")


def test_runs_from_other_weights_are_other_runs(file: Path, tmp_path: Path) -> None:
    settings = TrainingSettings(load_network(str(file)), 1, 1, batch=4, evaluated=0)
    seeded = replace(settings, network=TINY)
    assert "weights" not in seeded.to_dict()
    assert settings.to_dict()["weights"] == settings.network.weights.digest  # type: ignore[union-attr]
    folder = tmp_path / "stages"
    (stage,) = capture_stages(settings, folder, [0])
    with open_trace(stage.path) as trace:
        assert trace.training == settings.training_run
        assert trace.training.weights == settings.to_dict()["weights"]
        assert f"from the weights {trace.training.weights[:12]}, briefly trained" in trace.training.words(1)
        np.testing.assert_array_equal(trace.master(0), GIVEN[0])
        assert trace.network == TINY
    assert capture_stages(settings, folder, [0])[0].reused
    with pytest.raises(InputError, match=r"at000\.h5: weights: the trace belongs to a run with another value; give th"):
        capture_stages(seeded, folder, [0])


def test_words_for_files_that_do_not_fit(file: Path, tmp_path: Path) -> None:
    def refused(message: str, **changes: object) -> None:
        file.write_text(yaml.safe_dump(TINY.to_dict() | {"weights": "w.h5"} | changes))
        with pytest.raises(InputError, match=message):
            load_network(str(file))

    refused(r"tiny\.yaml: weights: wrong value, got 3, allowed: the name of a file beside the network file$", weights=3)
    refused(r"no\.h5: cannot read the weights \(No such file", weights="no.h5")
    refused(r"tiny\.yaml: not an HDF5 file, got .*, allowed: a weights written by h2learn", weights="tiny.yaml")
    refused(r"tiny\.yaml: weights: given weights are not normalised: leave out one of both keys, got", normalise=True)
    layers = [{"linear": 7}, {"linear": 8}, {"linear": 10}]
    refused(r"w\.h5: the weights are for other layers, got 'fc1, fc2', allowed: fc1, fc2, fc3$", layers=layers)
    layers = [{"linear": 9}, {"linear": 10}]
    refused(
        r"w\.h5: fc1: wrong weights, got \['float32', \[7, 8, 8, 1\]\], allowed: \['float32', \[9, 8", layers=layers
    )
    one_nan = GIVEN[1].copy()
    one_nan[3, 0, 0, 2] = np.nan
    write_weights(tmp_path / "w.h5", TINY.layers, (GIVEN[0], one_nan))
    refused(r"w\.h5: fc2: a weight is not finite$")
    write_sealed(tmp_path / "w.h5", WEIGHTS, lambda empty: empty.create_group("weights"))
    refused(r"w\.h5: does not hold what schema 1 of weights demands \(")
    with h5py.File(tmp_path / "w.h5", "w"):
        pass
    refused(r"w\.h5: an HDF5 file, but without the header of a weights of h2learn$")


def test_weights_that_change_while_a_program_runs(file: Path, tmp_path: Path) -> None:
    network = load_network(str(file))
    write_weights(tmp_path / "w.h5", TINY.layers, initial_weights(TINY, 78))
    with pytest.raises(InputError, match=r"w\.h5: the weights have changed since the network was read, got"):
        initial_weights(network, 0)


def test_only_a_file_can_name_weights() -> None:
    with pytest.raises(ValueError, match=r"fc1 has weights \(7, 1, 1, 1\), not \(7, 8, 8, 1\)"):
        write_weights(Path("never.h5"), TINY.layers, (np.zeros((7, 1, 1, 1), np.float32), GIVEN[1]))
