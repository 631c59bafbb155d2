"""`result.json`: it is what the schema says, adds up, holds no NaN, and appears whole or not at all."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rtl_models.errors import InputError
from tests.report.conftest import Run
from tlm.analysis.area.chip_area import ChipArea, chip_area
from tlm.analysis.area.report import describe_area
from tlm.analysis.energy.activity import step_activity
from tlm.analysis.energy.report import describe_energy
from tlm.analysis.energy.step_energy import step_energy
from tlm.config import Config
from tlm.report import result
from tlm.report.result import SCHEMA, build_result, versions, write_json

SCHEMA_FILE = json.loads(resources.files("tlm.report").joinpath("result.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA_FILE)
TRAINING = {
    "dataset": "digits", "steps": 3, "batch": 4, "seed": 0, "loss": None,
    "held_out_accuracy": 0.5, "skipped_steps": 0, "seconds": 1.5,
}  # fmt: skip

RUN = {
    "steps": 40, "batch": 5, "training_images": 1437, "learning_rate": 0.1, "data": "digits", "weights": "",
    "epochs": 0.14,
    "briefly_trained": True,
}  # fmt: skip


def valid(content: object) -> bool:
    return VALIDATOR.is_valid(json.loads(json.dumps(content)))


def test_the_schema_is_a_schema_of_this_version() -> None:
    Draft202012Validator.check_schema(SCHEMA_FILE)
    assert SCHEMA_FILE["properties"]["schema"]["const"] == SCHEMA


def test_results_are_valid(linear: Run, deep: Run) -> None:
    for run in (linear, deep):
        VALIDATOR.validate(json.loads(json.dumps(run.content, allow_nan=False)))
        VALIDATOR.validate(json.loads(json.dumps(run.content | {"training": TRAINING})))
        named = run.content["network"] | {"run": RUN}
        VALIDATOR.validate(json.loads(json.dumps(run.content | {"network": named})))
        for key in RUN:
            short = {name: value for name, value in RUN.items() if name != key}
            assert not valid(run.content | {"network": named | {"run": short}})


def paths(schema: Any, content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all keys that the schema names in `content`."""
    found = []
    if isinstance(content, dict):
        for key in set(schema.get("properties", {})) & set(content):
            found += [(*at, key), *paths(schema["properties"][key], content[key], (*at, key))]
    elif isinstance(content, list) and content and "items" in schema:
        found += paths(schema["items"], content[0], (*at, 0))
    return found


def test_the_schema_demands_every_key_and_refuses_wrong_values(deep: Run) -> None:
    named = [path for path in paths(SCHEMA_FILE, deep.content) if path[-1] not in ("training", "cosim")]
    assert len(named) > 80
    content = json.loads(json.dumps(deep.content))
    for path in named:
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        kept = parent.pop(path[-1])
        assert not VALIDATOR.is_valid(content), (path, "removed")
        parent[path[-1]] = [[None]]
        assert not VALIDATOR.is_valid(content), (path, "changed")
        parent[path[-1]] = kept
    assert VALIDATOR.is_valid(content)


def test_the_guide_names_every_key(deep: Run) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "result.md").read_text(encoding="utf-8")
    assert all(f"`{key}" in guide for key in deep.content)
    nested = {key for name in ("time", "network", "dram", "placement") for key in deep.content[name]}
    nested |= set(TRAINING) | set(deep.content["sparsity"][0]) | set(deep.content["streams"][0])
    assert {key for key in nested if key not in guide} == set()


def test_engines_add_up_to_the_step(linear: Run) -> None:
    for engine in linear.content["engines"].values():
        total = engine["busy_ps"] + sum(engine["blocked_ps"].values()) + sum(engine["starved_ps"].values())
        assert total == linear.content["time"]["step_ps"]


def test_dram_adds_up(linear: Run) -> None:
    dram, time = linear.content["dram"], linear.content["time"]
    assert dram["total_bytes"] == sum(dram["read_bytes"].values()) + sum(dram["written_bytes"].values())
    peak_bytes_per_ps = 2 * 3000 / 1e6
    assert dram["share_of_peak"] == pytest.approx(dram["total_bytes"] / (peak_bytes_per_ps * time["step_ps"]))
    assert 0 < max(dram["channel_busy_ps"]) <= time["step_ps"]


def test_what_is_in_dram(deep: Run, linear: Run) -> None:
    assert ["inputs", -1] in deep.content["placement"]["in_dram"]
    assert ["optimiser_state", 0] in linear.content["placement"]["in_dram"]


def test_work_by_layer_is_that_of_the_simulation(deep: Run) -> None:
    found = {(entry["engine"], entry["layer"]): entry for entry in deep.content["layer_work"]}
    assert {key: found[key]["operations"] for key in deep.result.operations} == deep.result.operations
    moved = sum(entry["dram_bytes"] for entry in found.values())
    from_host = deep.trace.batch * deep.trace.network.classes * deep.config.contract.value.width_bytes
    assert moved in (deep.content["dram"]["total_bytes"], deep.content["dram"]["total_bytes"] - from_host)


def test_energy_and_area_are_those_of_the_commands(linear: Run) -> None:
    area = chip_area(linear.config)
    energy = step_energy(linear.config, linear.result, step_activity(linear.trace, linear.config, linear.result), area)
    assert linear.content["energy"] == describe_energy(energy)
    assert linear.content["area"] == describe_area(area, linear.config)


def test_without_synthesised_units_there_is_no_energy(linear: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: Config) -> ChipArea:
        raise InputError("transistors were not counted", "area", config.contract.value.name)

    monkeypatch.setattr(result, "chip_area", refuse)
    content = build_result(
        linear.trace, linear.config, linear.result, training=None, cosim=None,
        provenance={"command": "", "trace": ""},
    )  # fmt: skip
    assert (content["energy"], content["area"]) == (None, None)
    VALIDATOR.validate(json.loads(json.dumps(content)))


def test_provenance_names_versions_and_the_trace(linear: Run) -> None:
    provenance = linear.content["provenance"]
    assert provenance["trace_sha256"] == linear.trace.digest
    assert versions().items() <= provenance.items()


def test_nothing_is_written_of_content_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for content in ({"loss": float("nan")}, {"loss": float("inf")}):
        with pytest.raises(ValueError, match="Out of range float values"):
            write_json(content, path)
    assert list(tmp_path.iterdir()) == []
    write_json({"loss": None}, path)
    assert json.loads(path.read_text()) == {"loss": None}
