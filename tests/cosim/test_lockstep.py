"""Hardware inside the simulation: the same bits and times as without, stalled by the model; broken rows are caught."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_models.backward_unit import BackwardUnitGeometry, backward_unit
from rtl_models.errors import InputError
from rtl_models.reference.backward_items import backward_item_sums
from rtl_models.units import Unit
from tests.cosim.conftest import OVERRIDES
from tests.cosim.mutants import crossed_row, silent_row, slow_row
from tests.cosim.traces import ARITHMETIC, make_step, small_network
from tests.workloads.residual import biased_network
from tlm.cli.main import main
from tlm.config import Config
from tlm.cosim import config_for_trace, lockstep
from tlm.cosim.locked import backward
from workloads.trace_file import write_trace

# times off the clock's edges, late data on every side, narrow ports, and a sums buffer that holds one job's
STARVING = (
    "clock_period_ps=1300",
    "buffers={spikes_bytes: 196, weights_bytes: 318, potentials_bytes: 120, gradients_bytes: 320, "
    "partial_sums_bytes: 440, output_bytes: 80, backward_sums_bytes: 80}",
    "buffer_ports.weights={ports: 1, banks: 1, bank_width_bytes: 3}",
    "buffer_ports.gradients={ports: 1, banks: 1, bank_width_bytes: 5}",
    "buffer_ports.spikes={ports: 1, banks: 1, bank_width_bytes: 1}",
    "buffer_ports.output={ports: 1, banks: 1, bank_width_bytes: 2}",
    "buffer_ports.backward_sums={ports: 1, banks: 1, bank_width_bytes: 2}",
    "dma={chunk_bytes: 48, outstanding: 2, width_bytes: 8, part_bytes: 1}",
    "dram={model: flat, channels: 2, channel_bytes_per_us: 777, latency_ps: 41111, interleave_bytes: 64}",
)


def slow_backward_unit(geometry: BackwardUnitGeometry) -> Unit:
    """A unit whose adder takes one cycle more: right bits, wrong cycles."""
    return backward_unit(replace(geometry, adder_latency_cycles=geometry.adder_latency_cycles + 1))


@pytest.mark.slow
def test_a_step_with_shortcuts_and_biases(config: Config, tmp_path: Path) -> None:
    write_trace(make_step(biased_network(timesteps=1), spread=40), tmp_path / "trace")
    result = lockstep(tmp_path / "trace", config, window_tiles=100_000)
    assert result.passed, result.failure
    assert all(part.results and part.wrong_results == 0 for part in result.parts)


def test_a_whole_step(trace_path: Path, config: Config) -> None:
    result = lockstep(trace_path, config, window_tiles=100_000)
    assert result.passed
    assert result.differing == []
    assert result.time_ps == result.unlocked_time_ps > 0
    assert [part.unit for part in result.parts] == [
        "chip.forward.array0.row",
        "chip.weight_update.array0.row",
        "chip.weight_update.array1.row",
        "chip.backward.unit0",
    ]
    assert all(part.tiles and part.results and part.wrong_results == 0 for part in result.parts)


def test_a_whole_step_of_a_pooled_network(tmp_path: Path, config: Config) -> None:
    write_trace(make_step(small_network(first="pool", signed=True, exponent=6), spread=20), tmp_path / "trace")
    result = lockstep(tmp_path / "trace", config, window_tiles=100_000)
    assert result.passed
    assert result.differing == []
    assert all(part.tiles and part.results and part.wrong_results == 0 for part in result.parts)


def test_weights_that_come_in_parts(trace_path: Path) -> None:
    """The linear layer on 3 x 2 positions: the groups of the unit come part by part, and all is equal."""
    whole, parts = (
        lockstep(trace_path, config_for_trace(ARITHMETIC, overrides=(*OVERRIDES, f"buffers.weights_bytes={size}")), 200)
        for size in (318, 230)
    )
    assert whole.passed
    assert parts.passed
    assert parts.differing == []
    assert parts.time_ps > whole.time_ps


@pytest.mark.parametrize("window_tiles", [1, 100])
def test_stalls_and_times_between_the_edges(trace_path: Path, window_tiles: int) -> None:
    starving = config_for_trace(ARITHMETIC, overrides=OVERRIDES + STARVING)
    result = lockstep(trace_path, starving, window_tiles)
    assert result.passed, (result.failure, result.differing)
    assert result.time_ps == result.unlocked_time_ps
    assert all(part.tiles >= min(window_tiles, 40) for part in result.parts)


@pytest.mark.slow  # the backward unit below is late in the ordinary run
def test_the_model_waits_for_a_late_row(trace_path: Path, config: Config) -> None:
    result = lockstep(trace_path, config, 100_000, units={"lut_row": slow_row})
    assert not result.passed
    assert result.failure is not None
    assert "tile" in result.failure
    assert "of out: cycle by the law" in result.failure
    assert result.time_ps > result.unlocked_time_ps
    assert "time_ps" in result.differing


def test_wrong_bits(trace_path: Path, config: Config) -> None:
    result = lockstep(trace_path, config, 100_000, units={"lut_row": crossed_row})
    assert not result.passed
    assert result.failure is not None
    assert "expected 0x" in result.failure
    assert "in cycle" in result.failure
    assert sum(part.wrong_results for part in result.parts) > 0
    assert result.differing == []


def test_a_row_that_never_sends(trace_path: Path, config: Config) -> None:
    result = lockstep(trace_path, config, 10, units={"lut_row": silent_row})
    assert not result.passed
    assert result.failure is not None
    assert "hangs in cycle" in result.failure


def test_the_model_waits_for_a_late_backward_unit(trace_path: Path, config: Config) -> None:
    result = lockstep(trace_path, config, 100_000, units={"backward_unit": slow_backward_unit})
    assert result.failure is not None
    assert "chip.backward.unit0 layer 1 micro-batch 0 step 0 block 0 group" in result.failure
    assert "of sums: cycle by the law" in result.failure
    assert result.time_ps > result.unlocked_time_ps


def test_wrong_bits_of_the_backward_unit(trace_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "backward_item_sums", lambda *task: backward_item_sums(*task) ^ np.uint32(1))
    result = lockstep(trace_path, config, 1)
    assert result.failure is not None
    assert "result 0 (data): expected 0x" in result.failure
    assert result.parts[-1].wrong_results > 0
    assert not result.passed


def test_no_tile(trace_path: Path, config: Config) -> None:
    with pytest.raises(InputError, match=r"tiles of the window, got 0, allowed: 1 or more"):
        lockstep(trace_path, config, 0)


def test_command(trace_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [word for override in OVERRIDES for word in ("--set", override)]
    arguments = ["cosim", str(trace_path), "--lockstep", "--window", "20", "--out", str(tmp_path), *settings]
    assert main(arguments) == 0
    assert "every result, transfer and time is the same as without hardware" in capsys.readouterr().out
    written = json.loads((tmp_path / "lockstep.json").read_text(encoding="utf-8"))
    assert written["passed"]
    assert written["window_tiles"] == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--window", "3"], "only units in lock-step have a window"),
        (["--lockstep", "--cosim", "all"], "--cosim: does not go with --lockstep"),
        (["--lockstep", "--simulator", "myhdl"], "--simulator: does not go with --lockstep"),
    ],
)
def test_options_that_do_not_go_together(
    trace_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["cosim", str(trace_path), *arguments]) == 2
    assert words in capsys.readouterr().err
