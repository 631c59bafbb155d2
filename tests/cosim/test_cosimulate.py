"""Co-simulation of a small trace: both modes, every simulator, seeds, wrong rows, wrong traces."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_models.errors import InputError
from rtl_models.simulators import SimulatorError, available_simulators, process
from tests.cosim.conftest import OVERRIDES
from tests.cosim.mutants import crossed_row, silent_row, slow_row
from tests.cosim.traces import ARITHMETIC, make_step, small_network
from tests.workloads.residual import biased_network, pooled_network, residual_network
from tlm.config import Config, load_config
from tlm.cosim import CosimResult, config_for_trace, cosimulate, everything, replay
from tlm.cosim import run as run_module
from tlm.cosim.keys import ENGINES
from tlm.cosim.runner import Outcome
from tlm.cosim.units import HARDWARE, open_engines
from workloads.trace_file import open_trace, write_trace

needs_verilator = pytest.mark.skipif(
    "verilator" not in available_simulators() and not os.environ.get("CI"), reason="Verilator is not installed"
)


def counts(result: CosimResult) -> list[dict[str, Any]]:
    return [vars(entry) for entry in result.comparisons]


@pytest.fixture(scope="module")
def sampled(trace_path: Path, config: Config) -> CosimResult:
    """The default co-simulation."""
    return cosimulate(trace_path, config, sample_streams=24)


@needs_verilator
def test_a_sample_covers_every_engine_and_layer_in_both_simulators(sampled: CosimResult) -> None:
    assert sampled.passed
    assert sampled.failure is None
    assert sampled.simulators == ("verilator", "myhdl")
    seen = {(entry.engine, entry.layer, entry.simulator) for entry in sampled.comparisons}
    layers = dict.fromkeys(("forward", "transposition", "weight_update", "optimiser"), 3) | {"weight_gradient": 1}
    layers |= dict.fromkeys(("neuron", "backward", "gradient"), 2)
    assert seen == {(e, n, s) for e, count in layers.items() for n in range(count) for s in ("verilator", "myhdl")}
    for entry in sampled.comparisons:
        assert 0 < entry.stalled_streams < entry.streams
        assert entry.results > 0
        assert entry.transfers > 0
        assert entry.law_cycles == entry.measured_cycles > 0
        assert entry.layer_name in ("conv1", "fc2", "fc3")
    verilated = [entry for entry in sampled.comparisons if entry.simulator == "verilator"]
    assert all(entry.trace_results > 0 for entry in verilated)


@needs_verilator
def test_all_units_are_proved(sampled: CosimResult) -> None:
    verdict = {unit.unit: unit.verdict for unit in sampled.units}
    assert set(verdict.values()) == {"proved"}
    assert set(verdict) == set(HARDWARE)


@needs_verilator
def test_the_result_is_plain_data(sampled: CosimResult) -> None:
    plain = json.loads(json.dumps(sampled.to_dict()))
    assert plain["passed"] is True
    assert plain["network"] == "small"
    assert plain["comparisons"][0]["difference_cycles"] == 0
    assert plain["units"][0]["unit"] == "lut_row"
    assert {count["engine"] for count in plain["available"]} == set(ENGINES)


@needs_verilator
def test_the_seed_decides_the_sample(trace_path: Path, config: Config) -> None:
    first, again, other = (
        cosimulate(trace_path, config, simulator="verilator", sample_seed=seed) for seed in (3, 3, 4)
    )
    assert counts(first) == counts(again)
    assert counts(first) != counts(other)
    assert other.passed


@needs_verilator
def test_all_runs_every_stream(trace_path: Path, config: Config) -> None:
    seen: list[tuple[int, int]] = []
    result = cosimulate(trace_path, config, "all", "verilator", progress=lambda done, total: seen.append((done, total)))
    assert result.passed
    for entry, count in zip(result.comparisons, result.available, strict=True):
        assert (entry.engine, entry.layer, entry.layer_name) == (count["engine"], count["layer"], count["layer_name"])
        assert entry.streams == count["streams"]
        if entry.engine != "backward":  # of which empty masks are left out
            assert (entry.tiles, entry.results) == (count["tiles"], count["results"])
    assert seen[-1][0] == seen[-1][1] == sum(count["cycles"] for count in result.available)


@needs_verilator
def test_all_of_a_pooled_network(tmp_path: Path, config: Config) -> None:
    """Three pooled convolutions, the last over its whole plane: to the hardware, more tiles a position."""
    network = small_network(first="pool", signed=True, exponent=6)
    write_trace(make_step(network, spread=20), tmp_path / "trace")
    result = cosimulate(tmp_path / "trace", config, "all", "verilator")
    assert result.passed
    for entry, count in zip(result.comparisons, result.available, strict=True):
        assert entry.streams == count["streams"]
        assert entry.law_cycles == entry.measured_cycles > 0
        if (entry.engine, entry.layer) == ("forward", 0):  # planes x positions of a window x tiles of six groups
            assert entry.tiles == entry.streams * 8 * 4 * 2


@pytest.mark.slow
@needs_verilator
def test_processes_give_the_same_counts(trace_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = cosimulate(trace_path, config, "all", "verilator")
    monkeypatch.setattr(everything, "SMALL_CYCLES", 0)
    monkeypatch.setattr(everything, "JOB_CYCLES", 1500)
    monkeypatch.setattr(everything, "MOST_BEATS", 100)
    with open_trace(trace_path) as trace:
        assert len(everything.cut_jobs(open_engines(trace, config))) > 20
    assert counts(cosimulate(trace_path, config, "all", "verilator")) == counts(alone)


@needs_verilator
def test_zero_tiles_may_be_left_out(tmp_path: Path, config: Config) -> None:
    write_trace(make_step(small_network("spikes")), tmp_path / "trace")
    lut = config.lut.model_copy(update={"skip_zero_tiles": True})
    depth = config.forward_engine.model_copy(update={"accumulator_depth": 1})
    changed = config.model_copy(update={"lut": lut, "forward_engine": depth})
    result = cosimulate(tmp_path / "trace", changed, "all", "verilator")
    assert result.passed
    assert result.total("tiles") < sum(count["tiles"] for count in result.available)


@needs_verilator
def test_every_bit_and_cycle_of_a_step_with_shortcuts(config: Config, tmp_path: Path) -> None:
    """Projection and layer in one stream, sums that start from spikes, backward sums over several layers."""
    write_trace(make_step(residual_network("spikes", 1), spread=40), tmp_path / "trace")
    result = cosimulate(tmp_path / "trace", config, "all", "verilator")
    assert result.passed, result.failure
    compared = {(entry.engine, entry.layer_name) for entry in result.comparisons if entry.results}
    assert ("forward", "projection5") not in compared  # its tiles are those of the layer that it joins
    assert {("forward", "conv5"), ("weight_update", "projection5"), ("optimiser", "projection5")} <= compared
    assert all(entry.trace_results for entry in result.comparisons)
    for network in (pooled_network(timesteps=1), biased_network(timesteps=1)):
        write_trace(make_step(network, spread=40), tmp_path / network.name)
        assert cosimulate(tmp_path / network.name, config, "all", "verilator").passed


@needs_verilator
@pytest.mark.parametrize("mode", ["sample", "all"])
def test_wrong_bits_end_the_run_and_are_replayed(mode: str, trace_path: Path, config: Config, tmp_path: Path) -> None:
    result = cosimulate(trace_path, config, mode, "verilator", out=tmp_path, units={"lut_row": crossed_row})
    assert not result.passed
    failure = result.failure
    assert failure is not None
    assert failure.difference.startswith("result ")
    assert failure.tile_file is not None
    assert [path.name for path in tmp_path.iterdir()] == [Path(failure.tile_file).name]
    assert sum(entry.mismatched_results > 0 for entry in result.comparisons) == 1
    assert result.total("mismatched_bits") > 0
    assert result.total("mismatched_transfers") == 0
    assert result.units[0].verdict == "refuted"
    again = replay(failure.tile_file, unit=crossed_row)
    assert str(again.difference) == failure.difference == again.tile.seen
    assert replay(failure.tile_file).passed


def test_wrong_cycles_end_the_run_and_are_replayed(trace_path: Path, config: Config, tmp_path: Path) -> None:
    result = cosimulate(
        trace_path, config, simulator="myhdl", out=tmp_path, units={"lut_row": slow_row}, sample_streams=8
    )
    failure = result.failure
    assert failure is not None
    assert "cycle by the law" in failure.difference
    assert "window" in failure.stream
    assert result.total("mismatched_results") == 0
    assert result.total("mismatched_transfers") > 0
    again = replay(str(failure.tile_file), "myhdl", tmp_path / "wave.vcd", unit=slow_row)
    assert str(again.difference) == failure.difference
    assert not again.reference_changed
    assert not again.law_changed
    assert "$enddefinitions" in (tmp_path / "wave.vcd").read_text()


@needs_verilator
def test_a_row_that_never_sends_is_a_failure(trace_path: Path, config: Config, tmp_path: Path) -> None:
    result = cosimulate(trace_path, config, simulator="verilator", out=tmp_path, units={"lut_row": silent_row})
    assert result.failure is not None
    assert result.failure.difference.startswith("no transfer since cycle")
    assert "out (0 of" in result.failure.difference
    again = replay(str(result.failure.tile_file), unit=silent_row)
    assert str(again.difference) == result.failure.difference


def test_a_simulator_that_fails_is_no_mismatch(
    trace_path: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.sys, "executable", "/bin/false")
    with pytest.raises(SimulatorError, match=r"^lut_row_k3_g4: rtl_models.simulators.myhdl_worker failed:"):
        cosimulate(trace_path, config, simulator="myhdl", out=tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_verilator
def test_a_trace_that_holds_other_gradients_is_a_failure(tmp_path: Path, config: Config) -> None:
    record = make_step(small_network(signed=True, exponent=6))
    layer = record.layers[2]
    changed = replace(layer, weight_gradient=np.nextafter(layer.weight_gradient, np.float32(1)))
    write_trace(replace(record, layers=(*record.layers[:2], changed)), tmp_path / "trace")
    result = cosimulate(tmp_path / "trace", config, simulator="verilator", out=tmp_path)
    assert result.failure is not None
    assert result.failure.stream.startswith("weight_update layer 2")
    assert "in the trace" in result.failure.difference
    assert result.total("mismatched_trace_results") > 0
    assert replay(str(result.failure.tile_file)).passed  # the row itself is right


@needs_verilator
def test_a_skipped_step_is_not_compared_with_its_trace(tmp_path: Path, config: Config) -> None:
    record = make_step(small_network(signed=True, exponent=6))
    write_trace(replace(record, skipped=True), tmp_path / "trace")
    result = cosimulate(tmp_path / "trace", config, simulator="verilator")
    assert result.passed
    assert result.total("trace_results") == 0
    assert result.notes == [
        "the step held non-finite values, whose bits are unspecified: nothing is compared with the trace"
    ]


@needs_verilator
def test_a_step_computed_elsewhere_is_compared_with_the_reference_alone(tmp_path: Path, config: Config) -> None:
    """Operands are the trace's: here tensors that do not follow from each other."""
    record = make_step(small_network(signed=True, exponent=6))
    layers = [replace(layer, weight_gradient=layer.weight_gradient + 1) for layer in record.layers]
    write_trace(replace(record, layers=tuple(layers), origin="another framework"), tmp_path / "trace")
    result = cosimulate(tmp_path / "trace", config, simulator="verilator")
    assert result.passed
    assert {entry.engine for entry in result.comparisons} == set(ENGINES)
    compared = {entry.engine for entry in result.comparisons if entry.trace_results}
    assert compared == {"transposition"}  # which computes nothing
    assert result.notes == [
        "the step was computed by another framework, not bit by bit as the machine does: operands are the trace's, and "
        "what the units make of them is compared with the reference alone"
    ]


def test_without_verilator_myhdl_runs_alone(trace_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "available_simulators", lambda: ("myhdl",))
    result = cosimulate(trace_path, config, sample_streams=8)
    assert result.passed
    assert result.simulators == ("myhdl",)
    assert result.notes == ["Verilator is not installed: MyHDL alone runs short windows of the sampled streams"]
    assert result.total("trace_results") > 0
    with pytest.raises(
        InputError, match=r"all tiles need Verilator, .* about 0\.0 h\), got 'auto', allowed: verilator, m"
    ):
        cosimulate(trace_path, config, "all")


RESETS = {
    "subtract": {"reset": "subtract", "reset_by": 0.5},
    "subtract, detached": {"reset": "subtract", "reset_gradient": False},
    "detached": {"reset_gradient": False},
}


@needs_verilator
@pytest.mark.parametrize("reset", RESETS)
def test_every_reset(reset: str, tmp_path: Path) -> None:
    network = small_network("spikes", "linear")
    network = replace(network, neuron=replace(network.neuron, **RESETS[reset]))
    write_trace(make_step(network, spread=40), tmp_path / "trace")
    units = ("neuron_unit.any_reset=true", "gradient_unit.latency_cycles=3")  # those of tests/units, built once
    config = config_for_trace(ARITHMETIC, overrides=(*OVERRIDES, *units))
    result = cosimulate(tmp_path / "trace", config, simulator="verilator", sample_streams=60)
    assert result.passed
    compared = {entry.engine for entry in result.comparisons if entry.trace_results}
    assert {"forward", "neuron", "backward", "gradient"} <= compared


def test_a_reset_that_the_units_are_not_built_for(tmp_path: Path, config: Config) -> None:
    network = small_network("spikes", "linear")
    network = replace(network, neuron=replace(network.neuron, **RESETS["detached"]))
    write_trace(make_step(network), tmp_path / "trace")
    words = (
        r"^config: neuron_unit\.any_reset: neurons of small reset to zero without a gradient, for which the units are "
        r"not built, got 'false', allowed: true$"
    )
    with pytest.raises(InputError, match=words):
        cosimulate(tmp_path / "trace", config)


def test_all_in_myhdl_says_how_long_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    monkeypatch.setattr(run_module, "run_everything", lambda *_: Outcome())
    path = tmp_path / "trace"
    write_trace(make_step(small_network("spikes")), path)
    result = cosimulate(path, config, "all", "myhdl")
    assert result.notes == ["all tiles through MyHDL take about 0.0 h on one core"]
    assert not result.passed  # nothing was compared
    assert result.units[0].reason == "no stream was compared"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "some"}, r"^cosim: unknown mode, got 'some', allowed: sample, all$"),
        ({"simulator": "spice"}, r"^simulator: unknown simulator, got 'spice', allowed: auto, verilator, myhdl$"),
        ({"sample_streams": 0}, r"^cosim: number of streams in the sample, got 0, allowed: 1 or more$"),
        ({"sample_seed": -1}, r"^cosim: sample seed: wrong value, got -1, allowed: a whole number >= 0$"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], words: str, trace_path: Path, config: Config) -> None:
    with pytest.raises(InputError, match=words):
        cosimulate(trace_path, config, **arguments)


def test_a_missing_simulator_asked_for_by_name(
    trace_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"^simulator: simulator not found \(verilator and g\+\+ must be installed"):
        cosimulate(trace_path, config, simulator="verilator")


def test_a_configuration_of_another_arithmetic(trace_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^config: arithmetic.value_format: differs from .*, got 'binary16', allowed: bfloat16$"
    ):
        cosimulate(trace_path, load_config("h2learn"))


def test_no_trace(tmp_path: Path, config: Config) -> None:
    with pytest.raises(InputError, match="cannot read the trace"):
        cosimulate(tmp_path / "none", config)
