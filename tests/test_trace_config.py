"""A chip runs the networks that it is built for: whose neurons reset as its units can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtl_models.errors import InputError
from tests.workloads.synthetic import random_record, small_network
from tlm.config import Config, load_config
from tlm.job import Job, run_job
from tlm.simulation import simulate
from tlm.trace_config import check_reset
from workloads.trace_file import open_trace, write_trace

NETWORK = "input: {shape: [8, 8, 1]}\ntimesteps: 2\nneuron: {reset: subtract}\nlayers: [{linear: 5}, {linear: 10}]\n"


@pytest.mark.parametrize(
    ("neuron", "how"),
    [
        ({"reset": "subtract"}, "by subtraction"),
        ({"reset": "subtract", "reset_gradient": False}, "by subtraction without a gradient"),
        ({"reset_gradient": False}, "to zero without a gradient"),
    ],
)
def test_another_reset_needs_units_that_are_built_for_it(neuron: dict[str, Any], how: str) -> None:
    network = small_network(neuron=neuron)
    words = (
        rf"^config: neuron_unit\.any_reset: neurons of small reset {how}, for which the units are not built, "
        r"got 'false', allowed: true$"
    )
    with pytest.raises(InputError, match=words):
        check_reset(Config(), network)
    check_reset(load_config("h2learn", ("neuron_unit.any_reset=true",)), network)
    check_reset(Config(), small_network())


def test_a_job_ends_before_it_trains(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NETWORK)
    with pytest.raises(InputError, match=r"^config: neuron_unit\.any_reset: neurons of net reset by subtraction, for"):
        run_job(Job(str(tmp_path / "net.yaml"), cosim="none"), tmp_path / "out")


def test_a_trace_is_not_simulated_on_it(tmp_path: Path) -> None:
    write_trace(random_record(small_network(neuron={"reset": "subtract"})), tmp_path / "step.h5")
    words = r"^config: neuron_unit\.any_reset: neurons of small reset by subtraction, for which the units are not built"
    with open_trace(tmp_path / "step.h5") as trace, pytest.raises(InputError, match=words):
        simulate(trace, Config())
