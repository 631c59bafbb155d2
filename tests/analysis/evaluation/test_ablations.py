"""The ablations: which machines they are, what is compared with what, and another k from the same state."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.reference.packing import forward_indices, update_indices
from tests.end_to_end.steps import make_record, tiny_config
from tlm.analysis import simulations
from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.evaluation.ablations import FULL, GROUPS, Ablation, list_ablations, parse_groups
from tlm.analysis.evaluation.evaluation import run_evaluation
from tlm.analysis.evaluation.measure import measure
from tlm.analysis.evaluation.options import EvaluationOptions, check_options
from tlm.analysis.evaluation.rerun import state_before, step_in
from tlm.analysis.evaluation.stages import captured_stages
from tlm.analysis.simulations import Worker
from tlm.config import Config, load_config
from tlm.schedule.zero_tiles import layer_planes
from workloads.record import Arithmetic
from workloads.trace_file import open_trace, write_trace
from workloads.training_step import initial_state

RECORD = ("direct", "conv", 3)


@pytest.fixture(scope="session")
def ablated(options: EvaluationOptions, out: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The evaluation with every ablation."""
    return run_evaluation(replace(options, ablations="all", ablation_stage=100), out, "h2learn evaluate")


def variants(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (network,) = content["networks"]
    return {variant["name"]: variant for variant in network["ablations"]}


def test_every_group_has_variants_and_none_is_the_machine_itself() -> None:
    config = Config()
    found = list_ablations(config, GROUPS)
    assert {ablation.group for ablation in found} == set(GROUPS)
    assert len({ablation.name for ablation in found}) == len(found)
    assert all(ablation.config_of(config) != config for ablation in found)
    assert [ablation.name for ablation in list_ablations(config, ("k",))] == [f"k = {k}" for k in (1, 2, 3, 5, 6, 7, 8)]
    layered = list_ablations(load_config("h2learn", ("pipeline=layer",)), ("pipeline",))
    assert [ablation.name for ablation in layered] == ["no pipeline"]


def test_a_variant_changes_what_it_says_and_nothing_else() -> None:
    (dense, *_) = list_ablations(Config(), ("backward",))
    changed = dense.config_of(Config()).model_dump()
    expected = Config().model_dump()
    expected["backward_engine"] |= {"skip_zero_gradients": False, "skip_inactive_outputs": False}
    assert changed == expected


def test_the_transposition_unit_grows_with_k() -> None:
    narrow = load_config("h2learn", ("transposition_unit.width=36",))
    widths = [a.config_of(narrow).transposition_unit.width for a in list_ablations(narrow, ("k",))]
    assert widths == [36, 36, 36, 36, 36, 49, 64]


def test_groups_are_checked() -> None:
    assert parse_groups("all") == GROUPS
    assert parse_groups("none") == ()
    assert parse_groups("dram, k") == ("dram", "k")
    with pytest.raises(
        InputError, match=r"^--ablations: unknown ablation, got 'clock', allowed: all, none, backward, "
    ):
        parse_groups("clock")
    with pytest.raises(InputError, match=r"^--ablations: is named twice, got 'k'$"):
        parse_groups("k,k")


def test_the_stage_of_the_ablations() -> None:
    assert check_options(EvaluationOptions()).ablation_stage == 50
    assert check_options(EvaluationOptions(stages="0,100", ablation_stage=100)).ablation_stage == 100
    words = "--ablation-stage: is not one of the stages, got 50, allowed: 0, 100"
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        check_options(EvaluationOptions(stages="0,100", ablation_stage=50))


def test_every_variant_is_a_simulation_of_its_configuration(
    ablated: dict[str, Any], options: EvaluationOptions
) -> None:
    plan = check_options(options)
    stage = captured_stages(plan, plan.networks[0])[-1]
    found = variants(ablated)
    assert next(iter(found)) == FULL
    assert [found[FULL][key] for key in ("times_time", "times_energy", "times_area")] == [1, 1, 1]
    full = None
    for ablation in (Ablation("", FULL, ()), *list_ablations(plan.config, ("backward", "elements", "together"))):
        config = ablation.config_of(plan.config)
        with open_trace(stage.path) as trace:
            step = measure(trace, config, 8)
        full = full or step
        row = found[ablation.name]
        assert row["stage"] == 100
        assert row["image_s"] == pytest.approx(step["time_ps"] / 8e12)
        assert row["times_time"] == pytest.approx(step["time_ps"] / full["time_ps"])
        assert row["times_energy"] == pytest.approx(step["energy_pj"]["nominal"] / full["energy_pj"]["nominal"])
        assert row["area_mm2"] == chip_area(config).area_mm2.to_dict()
        assert row["changes"] == dict(ablation.changes)


def test_ideas_left_out_take_longer(ablated: dict[str, Any]) -> None:
    found = variants(ablated)
    for name in ("dense adders", "no pipeline", "none of the three"):
        assert found[name]["times_time"] > 1, name
    assert found["none of the three"]["times_time"] == max(
        found[name]["times_time"]
        for name in ("none of the three", "tables alone", "dual sparsity alone", "pipeline alone")
    )


def test_each_k_runs_on_a_step_of_that_k(ablated: dict[str, Any], options: EvaluationOptions) -> None:
    assert options.traces is not None
    folders = {path.name for path in options.traces.iterdir()}
    assert {f"binary16-binary32-k{k}-lanes2-micro4" for k in range(1, 9)} <= folders
    found = variants(ablated)
    areas = [found[f"k = {k}"]["area_mm2"]["nominal"] for k in (1, 2, 4, 5, 6, 7, 8)]
    assert areas == sorted(areas)


def test_lanes_and_their_spikes(ablated: dict[str, Any], options: EvaluationOptions) -> None:
    plan = check_options(options)
    k, lanes = plan.config.lut.k, plan.config.lut.lanes
    spikes = ablated["networks"][0]["lane_spikes"]
    assert (spikes["k"], spikes["lanes"]) == (k, lanes) == (3, 2)
    with open_trace(captured_stages(plan, plan.networks[0])[-1].path) as trace:
        for engine, indices_of in (("forward", forward_indices), ("weight_update", update_indices)):
            ones, waited, groups, positions = (0, 0, 0, 0)
            for number, layer in enumerate(trace.network.layers):
                for plane in layer_planes(trace, number, slice(0, 4)):
                    found = np.bitwise_count(indices_of(layer, plane, k, lanes)).astype(int)
                    most = found.reshape(len(found), -1, lanes).max(axis=-1)
                    ones += layer.out_channels * found.sum()
                    groups += layer.out_channels * found.size
                    waited += layer.out_channels * np.maximum(most, 1).sum()
                    positions += layer.out_channels * most.size
            assert spikes[engine]["spikes_per_group"] == pytest.approx(ones / groups), engine
            assert spikes[engine]["waited_per_position"] == pytest.approx(waited / positions), engine


def test_a_variant_that_cannot_be_is_named(
    options: EvaluationOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Worker.run

    def failing(self: Worker, task: simulations.Task) -> Any:
        return simulations.failure("too small") if "pipeline" in task.name else run(self, task)

    monkeypatch.setattr(Worker, "run", failing)
    content = run_evaluation(replace(options, ablations="pipeline"), tmp_path)
    rows = variants(content)
    assert rows["no pipeline"]["error"] == "too small"
    assert rows["no pipeline"]["times_time"] is None
    assert rows[FULL]["error"] is None


def test_the_same_arithmetic_gives_the_same_step(tmp_path: Path) -> None:
    """Computed from the state in the trace, the step has the trace's own bits."""
    path = tmp_path / "step.h5"
    record = make_record(*RECORD)
    digest = write_trace(record, path)
    with open_trace(path) as trace:
        before = state_before(trace)
        expected = initial_state(record.network, record.arithmetic, 0)
        for name in ("master", "momentum", "weights"):
            for mine, theirs in zip(getattr(before, name), getattr(expected, name), strict=True):
                assert np.array_equal(mine, theirs)
    other = step_in(path, replace(record.arithmetic, k=2), tmp_path / "again")
    with open_trace(other) as trace:
        assert trace.arithmetic.k == 2
        assert trace.digest != digest
    back = step_in(other, record.arithmetic, tmp_path / "back")
    with open_trace(back) as trace:
        assert trace.digest == digest
    assert step_in(path, record.arithmetic, tmp_path) == path


def test_a_step_in_another_arithmetic_is_kept_and_repaired(tmp_path: Path) -> None:
    path = tmp_path / "step.h5"
    write_trace(make_record(*RECORD), path)
    folder = tmp_path / "again"
    made = step_in(path, Arithmetic(k=2, lanes=2, micro_batch=2), folder)
    time = made.stat().st_mtime_ns
    assert step_in(path, Arithmetic(k=2, lanes=2, micro_batch=2), folder) == made
    assert made.stat().st_mtime_ns == time
    made.write_bytes(b"damaged")
    step_in(path, Arithmetic(k=2, lanes=2, micro_batch=2), folder)
    open_trace(made).close()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/k: the folder of traces cannot be made \(Not a directory\)"):
        step_in(path, Arithmetic(k=5, lanes=2, micro_batch=2), tmp_path / "file" / "k")


def test_the_tiny_machine_is_one_for_its_trace() -> None:
    assert tiny_config().contract == make_record(*RECORD).arithmetic
