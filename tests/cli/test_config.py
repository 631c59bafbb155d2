"""`h2learn config show`: the whole configuration as YAML or JSON, and one line for what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tlm.cli.main import main
from tlm.config import Config, load_config


def test_what_it_prints_reads_back_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--set", "lut.k=5", "--set", "dram.channels=3"]) == 0
    path = tmp_path / "chip.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_config(str(path)) == load_config("h2learn", ("lut.k=5", "dram.channels=3"))
    assert main(["config", "show", str(path), "--set", "name=mine"]) == 0
    assert capsys.readouterr().out.startswith("name: mine\n")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == Config().model_dump(mode="json")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["h2lern"], "config: unknown preset, got 'h2lern', allowed: edge, h2learn, tiny or a .yaml file"),
        (["--set", "lut.k=9"], "h2learn: lut.k: wrong value, got 9, allowed: less than or equal to 8"),
        (["--set", "lut"], "--set: wrong override, got 'lut', allowed: key=value, e.g. dram.channels=4"),
    ],
)
def test_one_line_and_exit_code_2(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"h2learn: error: {line}\n")


def test_the_placement_of_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "placement", "digits-conv", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {row["tensor"] for row in data["tensors"] if row["place"] == "DRAM"} == {"optimiser_state"}
    assert main(["config", "placement", "digits-conv", "--batch", "8"]) == 0
    assert "optimiser state" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lenet"], "unknown network"),
        (["digits-conv", "--set", "buffers.spikes_bytes=9"], "buffers.spikes_bytes: the spikes buffer cannot hold"),
        (["digits-conv", "--set", "dram.controller=x"], "dram.controller: unknown controller, got 'x'"),
    ],
)
def test_a_placement_that_is_refused(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "placement", *arguments]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
