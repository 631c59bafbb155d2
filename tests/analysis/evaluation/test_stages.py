"""What the trace of a stage says in a few shares, and the folders that stages are kept in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_models.formats import BFLOAT16, BINARY16
from tests.end_to_end.steps import make_record
from tlm.analysis.evaluation.stages import describe_stage, stages_folder
from workloads.record import Arithmetic
from workloads.stages import Stage
from workloads.trace_file import open_trace, write_trace


def test_shares_are_means_over_neurons_and_shortcuts_have_none(tmp_path: Path) -> None:
    record = make_record("spikes", "residual", 2)
    digest = write_trace(record, tmp_path / "step.h5")
    found = describe_stage(Stage(50, 3, tmp_path / "step.h5"), record.network)
    assert (found.percent, found.step, found.digest, found.dataset) == (50, 3, digest, record.dataset)
    hidden, layers = record.network.hidden, record.network.layers
    assert any(layer.joins for layer in layers)
    neurons = [layers[number].out_positions * layers[number].out_channels for number in hidden]
    for name, tensor in (("firing_rate", "spikes"), ("active_masks", "masks"), ("nonzero_gradients", "gradients")):
        shares = [np.count_nonzero(array) / array.size for array in (getattr(record.layers[n], tensor) for n in hidden)]
        assert getattr(found, name) == pytest.approx(np.average(shares, weights=neurons)), name
    with open_trace(tmp_path / "step.h5") as trace:
        empty = [trace.sparsity(number).zero_index_groups for number in range(len(layers))]
    weights = [layer.conv_positions * layer.elements for layer in layers]
    assert found.zero_index_groups == pytest.approx(np.average(empty, weights=weights))


def test_runs_that_differ_in_bits_have_folders_of_their_own(tmp_path: Path) -> None:
    plain = Arithmetic(k=3, lanes=8, micro_batch=4)
    others = ({"value": BFLOAT16}, {"sum": BINARY16}, {"k": 4}, {"lanes": 4}, {"micro_batch": 2})
    folders = {stages_folder(tmp_path, replace(plain, **change)) for change in others}
    assert len(folders | {stages_folder(tmp_path, plain)}) == 6
    assert stages_folder(None, plain).parent.name == "stages"
