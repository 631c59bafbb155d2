"""The presets beside h2learn: what each is for, held by what area, placement and simulation say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlm.analysis.area.chip_area import chip_area
from tlm.cli.main import main
from tlm.config import BuffersConfig, list_presets, load_config
from tlm.rtl_geometry import check_has_rtl
from tlm.schedule.placement import place
from tlm.simulation import simulate
from workloads.network import load_network
from workloads.trace_file import open_trace
from workloads.trainer import train
from workloads.training_settings import TrainingSettings


def test_the_presets() -> None:
    assert list_presets() == ["edge", "h2learn", "tiny"]
    for name in list_presets():
        config = load_config(name)
        assert config.name == name
        check_has_rtl(config)


def test_edge_takes_a_few_mm2_and_holds_digits_conv() -> None:
    config = load_config("edge")
    assert chip_area(config).area_mm2.nominal < 10
    assert config.dram.standard.startswith("LPDDR5")
    placement = place(load_network("digits-conv"), 32, config)
    spilled = {tensor for tensor, _ in placement.tensors.keys() - placement.resident}
    assert spilled == {"potentials", "optimiser_state"}


def test_tiny_has_a_few_kib_through_which_a_step_is_staged(tmp_path: Path) -> None:
    config = load_config("tiny")
    assert sum(getattr(config.buffers, name) for name in BuffersConfig.model_fields) <= 12 * 2**10
    network, path = load_network("digits-mlp"), tmp_path / "step.h5"
    train(TrainingSettings(network, 1, 1, config.contract, batch=2, evaluated=0), path)
    with open_trace(path) as trace:
        result = simulate(trace, config)
    assert result.time_ps > 0
    assert {"weights", "weight_gradients", "potentials"} <= result.dram_read_bytes.keys()
    assert all(time.total_ps == result.time_ps for time in result.engines.values())


def test_a_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["area", "--config", "edge", "--budget", "10"]) == 0
    capsys.readouterr()
    assert main(["area", "--config", "edge", "--budget", "5"]) == 2
    assert capsys.readouterr().err.startswith("h2learn: error: --budget: the chip takes ")
