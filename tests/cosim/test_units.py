"""Every unit's work in a step: what the trace holds of it, short tasks, replays, hardware of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.pipeline import PipelineGeometry
from rtl_models.reference.packing import point_groups
from rtl_models.simulators import SimulatorError
from rtl_models.simulators.build import build_unit
from rtl_models.units import Unit
from tests.cosim.test_cosimulate import needs_verilator
from tests.cosim.traces import make_step, small_network
from tlm.cli.main import main
from tlm.config import Config
from tlm.cosim import Tile, config_for_trace, cosim, cosimulate, read_tiles, replay
from tlm.cosim.cases import make_case
from tlm.cosim.tile_file import FailingTile, read_tile, write_tile
from tlm.cosim.units import HARDWARE, open_engines
from tlm.cosim.units import transposition_unit as transposition_module
from workloads.record import StepRecord
from workloads.trace_file import open_trace, write_trace

ENGINE_OF = {
    "lut_row": ("weight_update", 1),
    "neuron_unit": ("neuron", 1),
    "backward_unit": ("backward", 0),
    "gradient_unit": ("gradient", 0),
    "transposition_unit": ("transposition", 1),
    "weight_gradient_unit": ("weight_gradient", 0),
    "optimiser_unit": ("optimiser", 2),
}
LATER = {"lut_row": "adder_latency_cycles", "backward_unit": "adder_latency_cycles"}


def short_tile(name: str, trace: Path, config: Config) -> Tile:
    """A short piece of a unit's work."""
    engine, layer = ENGINE_OF[name]
    tile = next(read_tiles(trace, engine, layer, config))
    hardware = tile.case.hardware
    assert hardware.name == name
    geometry = hardware.short_geometry(tile.geometry)
    task = hardware.short_task(geometry, tile.case.task, np.random.default_rng(1), True)
    return Tile(geometry, make_case(tile.case.name, hardware, geometry, task))


def slow(name: str) -> Any:
    """A unit that takes a cycle more somewhere: right bits, wrong cycles."""
    field = LATER.get(name, "latency_cycles")
    return lambda geometry: HARDWARE[name].unit(replace(geometry, **{field: getattr(geometry, field) + 1}))


def differing_values(record: StepRecord, tmp_path: Path, config: Config) -> dict[str, int]:
    """By engine: the values of a step's trace that do not follow from its work."""
    write_trace(record, tmp_path / "trace")
    found = {}
    with open_trace(tmp_path / "trace") as trace:
        for name, engine in open_engines(trace, config).items():
            entries = [e for layer in engine.layers for key in engine.keys(layer) for e in engine.expect(key)]
            assert sum(len(entry.in_trace) for entry in entries) > 0
            found[name] = sum(len(entry.trace_mismatches) for entry in entries)
    return {name: count for name, count in found.items() if count}


CODINGS = {"signed bytes": {"signed": True, "exponent": 6}, "spikes": {"coding": "spikes"}}


@pytest.mark.parametrize("coding", CODINGS)
def test_everything_leads_to_the_trace(coding: str, tmp_path: Path, config: Config) -> None:
    record = make_step(small_network(**CODINGS[coding]), spread=5)  # type: ignore[arg-type]
    write_trace(record, tmp_path / "trace")
    with open_trace(tmp_path / "trace") as trace:
        compared: dict[str, int] = {}
        for name, engine in open_engines(trace, config).items():
            entries = [e for layer in engine.layers for key in engine.keys(layer) for e in engine.expect(key)]
            compared[name] = sum(len(entry.in_trace) for entry in entries)
            assert sum(len(entry.trace_mismatches) for entry in entries) == 0, name
    states = sum(layer.potentials.size for layer in record.layers if layer.potentials is not None)
    weights = sum(layer.master.size for layer in record.layers)
    d16 = sum(layer.gradient_sums.size for layer in record.layers if layer.gradient_sums is not None)
    assert compared["neuron"] == 3 * states
    assert compared["gradient"] == states + d16
    assert compared["optimiser"] == 3 * weights
    # in the layer below the last one a sum serves all timesteps
    masks = [layer.masks for layer in record.layers if layer.masks is not None]
    union = 3 * np.count_nonzero(masks[-1].max(axis=0))
    assert compared["backward"] == union + sum(np.count_nonzero(mask) for mask in masks[:-1])


TAMPERED = {
    "potentials": {"forward", "neuron", "backward", "gradient"},
    "spikes": {"neuron"},
    "masks": {"neuron"},
    "new_master": {"optimiser"},
    "new_momentum": {"optimiser"},
    "new_weights": {"optimiser"},
    "weight_gradient": {"optimiser"},
    "momentum": {"optimiser"},
}


@pytest.mark.parametrize("tensor", TAMPERED)
def test_a_tampered_tensor_is_found(tensor: str, tmp_path: Path, config: Config) -> None:
    record = make_step(small_network(signed=True, exponent=6))
    array = getattr(record.layers[1], tensor)
    place = np.unravel_index(int(np.argmax(np.abs(array))), array.shape)
    array[place] = 1 - array[place] if array.dtype == np.uint8 else -2 * array[place] or 1  # momentum is still 0
    found = differing_values(record, tmp_path, config)
    assert TAMPERED[tensor] <= set(found), found


def test_a_tampered_gradient_is_found_by_both_units_that_make_it(tmp_path: Path, config: Config) -> None:
    record = make_step(small_network(signed=True, exponent=6))
    gradients = record.layers[0].gradients
    place = np.unravel_index(int(np.argmax(np.abs(gradients))), gradients.shape)
    gradients[place] *= 2
    found = differing_values(record, tmp_path, config)
    assert {"gradient", "backward"} <= set(found), found


@pytest.mark.parametrize(
    "name",
    [n if n in ("lut_row", "neuron_unit") else pytest.param(n, marks=pytest.mark.slow) for n in ENGINE_OF],
)
def test_a_slow_unit_is_caught_and_replayed_with_a_waveform(
    name: str, trace_path: Path, config: Config, tmp_path: Path
) -> None:
    tile = short_tile(name, trace_path, config)
    assert [result.difference for result in cosim([tile], simulator="myhdl")] == [None]
    (caught,) = cosim([tile], unit=slow(name), simulator="myhdl")
    assert caught.difference is not None
    assert caught.difference.what == "transfer"
    path = tmp_path / "a.tile"
    write_tile(FailingTile(tile.geometry, tile.case, "myhdl", str(caught.difference), "small", "ab"), path)
    again = replay(path, "myhdl", tmp_path / "wave.vcd", unit=slow(name))
    assert str(again.difference) == again.tile.seen
    assert not again.reference_changed
    assert not again.law_changed
    assert "$enddefinitions" in (tmp_path / "wave.vcd").read_text()


def test_verilog_of_another_unit_than_the_tiles(
    trace_path: Path, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tile = short_tile("neuron_unit", trace_path, config)
    path = tmp_path / "a.tile"
    write_tile(FailingTile(tile.geometry, tile.case, "myhdl", "", "small", "ab"), path)
    assert main(["cosim", "--replay", str(path), "--verilog", "lut_row=x.v"]) == 2
    assert "--verilog: the tile is for another unit, got 'lut_row', allowed: neuron_unit" in capsys.readouterr().err


def test_tiles_that_do_not_exist(trace_path: Path, config: Config) -> None:
    with pytest.raises(InputError, match=r"^tiles: unknown engine, got 'back', allowed: forward, neuron, backward, "):
        next(read_tiles(trace_path, "back", 0, config))
    with pytest.raises(InputError, match=r"^tiles: weight_gradient: the engine has no work .*, got 1, allowed: 0$"):
        next(read_tiles(trace_path, "weight_gradient", 1, config))


def test_a_tile_that_does_not_fit_its_unit(trace_path: Path, config: Config, tmp_path: Path) -> None:
    tile = next(read_tiles(trace_path, "backward", 0, config))
    for change, words in (
        ({"channel_tile": 8}, "channels of the task"),
        ({"items_in_flight": 1}, "items of a group"),
    ):
        geometry = replace(tile.geometry, **change)
        write_tile(FailingTile(geometry, tile.case, "myhdl", "", "small", "ab"), tmp_path / "a.tile")
        with pytest.raises(InputError, match=words):
            read_tile(tmp_path / "a.tile")


def test_a_tile_of_another_format(trace_path: Path, config: Config) -> None:
    tile = next(read_tiles(trace_path, "weight_gradient", 0, config))
    narrow = PipelineGeometry(tile.geometry.value_format, tile.geometry.value_format, 1)
    with pytest.raises(InputError, match=r"^weight_gradient: element\.(h|dw), got \d+, allowed: 0\.\.65535$"):
        cosim([Tile(narrow, tile.case)], simulator="myhdl")


def test_hardware_that_cannot_be(trace_path: Path, config: Config) -> None:
    wide = config.backward_engine.model_copy(update={"lanes": 5})
    with pytest.raises(InputError, match=r"^backward unit: number of lanes, got 5, allowed: 1\.\.4 \(channel tile\)$"):
        cosimulate(trace_path, config.model_copy(update={"backward_engine": wide}))


def test_a_skipped_step_has_no_optimiser(tmp_path: Path, config: Config) -> None:
    record = make_step(small_network(signed=True, exponent=6))
    write_trace(replace(record, skipped=True), tmp_path / "trace")
    with open_trace(tmp_path / "trace") as trace:
        engines = open_engines(trace, config)
        assert engines["optimiser"].layers == []
        for engine in engines.values():
            for layer in engine.layers:
                entries = [entry for key in engine.keys(layer) for entry in engine.expect(key)]
                assert not any(len(entry.in_trace) for entry in entries)


def wrapped(unit: Unit, verilog: str, output: str) -> str:
    """Verilog of the unit inside another one that inverts the lowest bit of an output."""
    inputs = ["clk", "rst"]
    outputs: list[str] = []
    widths = {"clk": 1, "rst": 1}
    for streams, driven, answered in ((unit.inputs, inputs, outputs), (unit.outputs, outputs, inputs)):
        for stream in streams:
            driven += [f"{stream.name}_valid", *(f"{stream.name}_{field.name}" for field in stream.fields)]
            answered.append(f"{stream.name}_ready")
            widths |= {f"{stream.name}_valid": 1, f"{stream.name}_ready": 1}
            widths |= {f"{stream.name}_{field.name}": field.width_bits for field in stream.fields}
    ports = [f"input [{widths[p] - 1}:0] {p}" for p in inputs] + [f"output [{widths[p] - 1}:0] {p}" for p in outputs]
    links = [f".{port}({'wrong' if port == output else port})" for port in (*inputs, *outputs)]
    wire = f"wire [{widths[output] - 1}:0] wrong; assign {output} = wrong ^ 1;"
    inner = verilog.replace("module unit", "module inner")
    return f"{inner}\nmodule unit ({', '.join(ports)});\n{wire}\ninner it ({', '.join(links)});\nendmodule\n"


@needs_verilator
def test_verilog_of_ones_own_takes_the_place_of_a_unit(trace_path: Path, config: Config, tmp_path: Path) -> None:
    tiles = list(read_tiles(trace_path, "weight_gradient", 0, config))
    unit = tiles[0].case.hardware.unit(tiles[0].geometry)
    verilog = (build_unit(unit).parent / "unit.v").read_text()
    (tmp_path / "mine.v").write_text(verilog)
    assert all(result.difference is None for result in cosim(tiles, verilog=tmp_path / "mine.v"))
    (tmp_path / "wrong.v").write_text(wrapped(unit, verilog, "out_dw"))
    results = cosim(tiles, verilog=tmp_path / "wrong.v")
    assert all(result.difference is not None and result.difference.what == "result" for result in results)

    files = {"weight_gradient_unit": tmp_path / "wrong.v"}
    result = cosimulate(trace_path, config, simulator="verilator", verilog=files, out=tmp_path)
    assert result.failure is not None
    assert result.failure.unit == "weight_gradient_unit"
    verdict = {unit.unit: unit.verdict for unit in result.units}
    assert (verdict["weight_gradient_unit"], verdict["lut_row"]) == ("refuted", "proved")
    assert not replay(str(result.failure.tile_file), verilog=tmp_path / "wrong.v").passed
    assert replay(str(result.failure.tile_file), verilog=tmp_path / "mine.v").passed


@needs_verilator
def test_verilog_that_does_not_compile_shows_its_log(trace_path: Path, config: Config, tmp_path: Path) -> None:
    tile = next(read_tiles(trace_path, "weight_gradient", 0, config))
    (tmp_path / "broken.v").write_text("module unit (input clk);\n  assign = clk;\nendmodule\n")
    with pytest.raises(SimulatorError, match=r"(?s)^weight_gradient: verilator failed:.*syntax error"):
        cosim([tile], verilog=tmp_path / "broken.v")


def test_verilog_that_is_none(trace_path: Path, config: Config, tmp_path: Path) -> None:
    tile = next(read_tiles(trace_path, "weight_gradient", 0, config))
    with pytest.raises(InputError, match=r"cannot read the Verilog file"):
        cosim([tile], verilog=tmp_path / "none.v")
    (tmp_path / "other.v").write_text("module other (clk); endmodule\n")
    with pytest.raises(InputError, match=r"the Verilog file lacks the module, allowed: a module unit$"):
        cosim([tile], verilog=tmp_path / "other.v")


def test_configurations_of_the_preset_can_be_built(trace_path: Path) -> None:
    with open_trace(trace_path) as trace:
        engines = open_engines(trace, config_for_trace(trace.arithmetic))
    assert {engine.hardware.name for engine in engines.values()} == set(HARDWARE)


def test_spikes_that_reach_the_transposition_in_another_order_are_found(
    trace_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weight update's indices are packed for themselves: points one later than theirs do not lead to them."""

    def late(*arguments: Any) -> np.ndarray:
        return np.roll(point_groups(*arguments), 1, axis=0)

    with open_trace(trace_path) as trace:
        engine = open_engines(trace, config)["transposition"]
        assert not any(len(entry.trace_mismatches) for key in engine.keys(1) for entry in engine.expect(key))
        monkeypatch.setattr(transposition_module, "point_groups", late)
        engine = open_engines(trace, config)["transposition"]
        assert any(len(entry.trace_mismatches) for key in engine.keys(1) for entry in engine.expect(key))
