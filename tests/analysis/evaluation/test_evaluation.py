"""A whole evaluation of a tiny network: what its file holds, how its ratios come about, and what is done only once."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from rtl_models.errors import InputError
from tlm.analysis import simulations
from tlm.analysis.area.chip_area import chip_area
from tlm.analysis.evaluation import evaluation
from tlm.analysis.evaluation.evaluation import JOURNAL, SCHEMA, _over_networks, run_evaluation
from tlm.analysis.evaluation.gpu_step import gpu_step
from tlm.analysis.evaluation.measure import extend, measure
from tlm.analysis.evaluation.options import EvaluationOptions, check_options
from tlm.analysis.evaluation.published import PUBLISHED, Published
from tlm.analysis.evaluation.stages import captured_stages
from tlm.analysis.gpu.device import load_device
from tlm.analysis.gpu.layers import from_network
from tlm.analysis.gpu.model import estimate
from tlm.analysis.simulations import Processes, Worker, open_journal, simulate_all
from tlm.processes import Died
from workloads.trace_file import open_trace

SCHEMA_TEXT = resources.files("tlm.analysis.evaluation").joinpath("evaluate.schema.json").read_text(encoding="utf-8")
VALIDATOR = Draft202012Validator(json.loads(SCHEMA_TEXT))
GUIDE = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the steps that are really simulated."""
    names: list[str] = []
    run = Worker.run

    def counted(self: Worker, task: simulations.Task) -> Any:
        names.append(task.name)
        return run(self, task)

    monkeypatch.setattr(Worker, "run", counted)
    return names


def test_the_content_is_what_the_schema_says(content: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(VALIDATOR.schema)
    assert VALIDATOR.schema["properties"]["schema"]["const"] == SCHEMA
    VALIDATOR.validate(json.loads(json.dumps(content, allow_nan=False)))


def test_the_schema_demands_every_key(content: dict[str, Any]) -> None:
    def keys(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if isinstance(value, dict):
            return [path for key, inner in value.items() for path in ((*at, key), *keys(inner, (*at, key)))]
        return keys(value[0], (*at, 0)) if isinstance(value, list) and value else []

    free = {"config", "groups_j", "busy", "provenance"}
    paths = [path for path in keys(content) if not free & set(path[:-1]) and isinstance(path[-1], str)]
    assert len(paths) > 80
    for path in paths:
        changed = copy.deepcopy(content)
        parent: Any = changed
        for key in path[:-1]:
            parent = parent[key]
        del parent[path[-1]]
        assert not VALIDATOR.is_valid(json.loads(json.dumps(changed))), path


def test_the_guide_names_every_key(content: dict[str, Any]) -> None:
    network = content["networks"][0]
    tables = [content, content["method"], content["area"], network, network["stages"][0], network["speedup"]]
    assert {key for table in tables for key in table if f"`{key}`" not in GUIDE} == set()


def test_a_stage_is_the_simulation_of_its_trace(content: dict[str, Any], options: EvaluationOptions) -> None:
    plan = check_options(options)
    (network,) = plan.networks
    stages = captured_stages(plan, network)
    for stage, described in zip(stages, content["networks"][0]["stages"], strict=True):
        with open_trace(stage.path) as trace:
            assert (trace.batch, trace.digest) == (12, described["trace_sha256"])
            few, many = (measure(trace, plan.config, images) for images in (8, 12))
            first, last = trace.sparsity(0), trace.sparsity(1)
        assert described["step_s"] == pytest.approx((many["time_ps"] + 3 * (many["time_ps"] - few["time_ps"])) / 1e12)
        joules = [step["energy_pj"]["high"] / 1e12 for step in (few, many)]
        assert described["step_energy_j"]["high"] == pytest.approx(joules[1] + 3 * (joules[1] - joules[0]))
        assert described["image_s"] == pytest.approx(described["step_s"] / 24)
        for name in ("firing_rate", "active_masks", "nonzero_gradients"):
            assert described[name] == pytest.approx(getattr(first, name))
        groups = [layer.conv_positions * layer.elements for layer in network.layers]
        empty = [share.zero_index_groups for share in (first, last)]
        assert described["zero_index_groups"] == pytest.approx(np.average(empty, weights=groups))
        told = {key: extend(few, many, (8, 12), 24)[key] for key in many}
        assert described["groups_j"] == pytest.approx({name: pj / 1e12 for name, pj in told["groups_pj"].items()})
        assert described["busy"] == pytest.approx({name: ps / told["time_ps"] for name, ps in told["busy_ps"].items()})
        counts = {key: round(told[key]) for key in ("dram_bytes", "synaptic_operations")}
        assert {key: described[key] for key in counts} == counts


def test_ratios_are_those_of_the_gpu_model_and_of_our_means(
    content: dict[str, Any], options: EvaluationOptions
) -> None:
    plan = check_options(options)
    (network,) = content["networks"]
    gpu = estimate(from_network(plan.networks[0]), load_device("V100"), 64)
    seconds = [stage["image_s"] for stage in network["stages"]]
    assert network["image_s"] == pytest.approx(sum(seconds) / 2)
    for end in ("low", "nominal", "high"):
        assert network["speedup"][end] == pytest.approx(getattr(gpu.time_s, end) / 64 / network["image_s"])
    joules = [stage["image_energy_j"] for stage in network["stages"]]
    for end, other in (("low", "high"), ("nominal", "nominal"), ("high", "low")):
        ours = sum(stage[other] for stage in joules) / 2
        assert network["energy_ratio"][end] == pytest.approx(getattr(gpu.energy_j, end) / 64 / ours)
    assert network["area_ratio"]["nominal"] == pytest.approx(815 / chip_area(plan.config).area_mm2.nominal)
    assert content["over_networks"]["speedup"] == dict.fromkeys(("low", "high"), network["speedup"]["nominal"])


def test_what_a_network_and_the_chip_are(content: dict[str, Any], options: EvaluationOptions) -> None:
    plan = check_options(options)
    (network,) = content["networks"]
    layers = plan.networks[0].layers
    assert network["weights"] == sum(layer.weights_count for layer in layers)
    assert network["macs_per_image"] == 3 * 2 * sum(layer.macs_per_timestep() for layer in layers)
    for end in ("low", "nominal", "high"):
        assert network["power_w"][end] == pytest.approx(network["image_energy_j"][end] / network["image_s"])
    area = chip_area(plan.config)
    assert content["area"]["area_mm2"] == area.area_mm2.to_dict()
    assert content["area"]["transistors"] == area.transistors.to_dict()
    transistors = plan.device.transistors / area.transistors.nominal
    assert network["transistor_ratio"]["nominal"] == pytest.approx(transistors)
    training = network["training"]
    assert [training[key] for key in ("dataset", "steps", "batch_images", "learning_rate", "seed")] == [
        "digits", 3, 16, pytest.approx(0.02), 0,
    ]  # fmt: skip


def test_the_gpu_s_step_is_that_of_its_options(options: EvaluationOptions) -> None:
    chosen = replace(options, gpu_batch=48, gpu_precision="tensor16", gpu_neuron="fused")
    plan = check_options(chosen)
    found = gpu_step(plan, plan.networks[0])
    wanted = estimate(from_network(plan.networks[0], "fused"), plan.device, 48, "tensor16")
    assert (found.batch, found.step_s, found.image_s) == (48, wanted.time_s, wanted.time_s / 48)
    assert found.image_j == wanted.energy_j / 48
    assert found.power_w.nominal == pytest.approx(wanted.energy_j.nominal / wanted.time_s.nominal)
    assert found.fits
    large = check_options(replace(options, gpu_batch=10**9))
    assert not gpu_step(large, plan.networks[0]).fits


def test_the_training_is_that_of_the_options(options: EvaluationOptions) -> None:
    plan = check_options(replace(options, stages="100,0,50", seed=4, learning_rate=0.125, training_batch=20))
    settings = plan.settings(plan.networks[0])
    assert (settings.seed, settings.learning_rate, settings.batch, settings.capture_batch) == (4, 0.125, 20, 12)
    assert plan.percents == (0, 50, 100)


def test_every_share_stands_under_its_name(
    content: dict[str, Any], options: EvaluationOptions, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"firing_rate": 0.1, "active_masks": 0.2, "nonzero_gradients": 0.3, "zero_index_groups": 0.4, "loss": 0.5}
    plan = check_options(options)
    told = tuple(replace(stage, **shares) for stage in captured_stages(plan, plan.networks[0]))
    monkeypatch.setattr(evaluation, "captured_stages", lambda *_: told)
    for stage in run_evaluation(options, out)["networks"][0]["stages"]:
        assert {name: stage[name] for name in shares} == shares


def test_ratios_over_networks_are_the_least_and_the_greatest() -> None:
    networks = [{name: {"nominal": ratio} for name in PUBLISHED} for ratio in (3.0, 7.0, 5.0)]
    assert _over_networks(networks) == {name: {"low": 3.0, "high": 7.0} for name in PUBLISHED}


def test_published_figures_stand_beside_and_are_no_input(
    content: dict[str, Any], options: EvaluationOptions, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, "speedup", Published(1.0, 2.0))
    again = run_evaluation(options, out, "h2learn evaluate")
    (ours,), (before,) = again["networks"], content["networks"]
    assert ours["speedup"]["published"] == {"low": 1.0, "high": 2.0}
    before, ours = ({**network, "speedup": network["speedup"]["nominal"]} for network in (before, ours))
    assert ours == before


def test_rows_and_units_change_area_time_and_energy(
    content: dict[str, Any], options: EvaluationOptions, tmp_path: Path
) -> None:
    (before,) = content["networks"]
    for override in ("forward_engine.rows=1", "backward_engine.units=1", "weight_update_engine.rows=1"):
        (now,) = run_evaluation(replace(options, overrides=(*options.overrides, override)), tmp_path)["networks"]
        assert now["area_ratio"]["nominal"] > before["area_ratio"]["nominal"], override
        assert now["speedup"]["nominal"] < before["speedup"]["nominal"], override
        assert now["energy_ratio"]["nominal"] != before["energy_ratio"]["nominal"], override


def test_what_was_simulated_is_taken_over(
    content: dict[str, Any], options: EvaluationOptions, out: Path, simulated: list[str]
) -> None:
    assert run_evaluation(options, out, "h2learn evaluate") == content
    assert simulated == []
    run_evaluation(replace(options, overrides=(*options.overrides, "host.round_trip_ps=1")), out)
    assert sorted(simulated) == sorted(f"tiny, {p} %, {images} images" for p in (0, 100) for images in (8, 12))


@pytest.mark.slow
def test_two_processes_find_the_same(content: dict[str, Any], options: EvaluationOptions, tmp_path: Path) -> None:
    found = run_evaluation(replace(options, workers=2), tmp_path, "h2learn evaluate")
    assert found == content


def test_a_chip_that_cannot_hold_a_tile_is_refused_before_training(options: EvaluationOptions, tmp_path: Path) -> None:
    small = replace(options, overrides=(*options.overrides, "buffers.output_bytes=1"), traces=tmp_path / "traces")
    with pytest.raises(InputError, match=r"^buffers.output_bytes: the output buffer is smaller than one tile"):
        run_evaluation(small, tmp_path)
    assert not (tmp_path / "traces").exists()


def test_a_step_that_fails_is_named(
    options: EvaluationOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "run", lambda *_: simulations.failure("no way"))
    with pytest.raises(InputError, match=r"^tiny, 0 % of the training: cannot be simulated: no way$"):
        run_evaluation(options, tmp_path)


def test_a_folder_that_another_process_writes(options: EvaluationOptions, tmp_path: Path) -> None:
    words = r"^--out: an evaluation is being written into this folder by another process, got '"
    with open_journal(tmp_path / JOURNAL, "an evaluation"), pytest.raises(InputError, match=words):
        run_evaluation(options, tmp_path)


def test_a_process_that_dies_fails_its_step(
    options: EvaluationOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = simulations.Task(
        "a step", tmp_path / "step.h5", "0" * 64, 1, check_options(options).config.model_dump(), measure
    )
    monkeypatch.setattr(Processes, "run", lambda self, tasks: ((task, Died(3)) for task in tasks))
    with open_journal(tmp_path / JOURNAL, "an evaluation") as journal:
        assert simulate_all([task], journal, Processes(1)) == {
            task.key: {"error": "its process died 3 times: out of memory?"}
        }
        assert journal.done == {}


def test_the_distance_to_a_published_range() -> None:
    band = Published(5.0, 10.0)
    assert [band.difference(value) for value in (4.0, 5.0, 7.0, 10.0, 12.0)] == pytest.approx([-0.2, 0, 0, 0, 0.2])
