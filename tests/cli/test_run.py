"""`h2learn run`: what it writes and prints, what it refuses, and that an interrupted run leaves nothing partial."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.steps import TINY, make_record
from tlm.cli.main import main
from workloads.trace_file import write_trace

pytestmark = pytest.mark.usefixtures("blank_pictures")

FILES = [
    "buffers.png",
    "dram.png",
    "engines.png",
    "result.json",
    "sparsity.png",
    "streams.png",
    "timeline.json",
    "transactions.parquet",
]
NETWORK = """
name: tiny
input: {shape: [8, 8, 1], exponent: 4}
timesteps: 2
layers: [{linear: 5}, {linear: 10}]
"""
WAIT_S = 300  # only a hang takes as long, however busy the machine
SETTINGS = [argument for override in TINY for argument in ("--set", override)]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "step.h5"
    write_trace(make_record("spikes", "linear", 2), path)
    return str(path)


@pytest.fixture
def network(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    return str(path)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def h2learn(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tlm.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False, **options)


def test_a_trace_is_simulated_and_shown(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["run", trace, "--cosim", "none", "--out", str(out), *SETTINGS]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""  # no progress bar where stderr is no terminal
    assert names(out) == FILES
    content = json.loads((out / "result.json").read_text())
    assert (content["training"], content["cosim"], content["network"]["name"]) == (None, None, "spikes-linear")
    assert content["provenance"]["trace"] == trace
    assert f"{content['time']['step_cycles']:,} cycles" in captured.out
    assert f"results: {out}/result.json" in captured.out.replace("\n", "")


def test_json_is_the_file_and_a_second_run_replaces_it(
    tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["run", trace, "--cosim", "none", "--json", "--out", str(out)]
    assert main([*arguments, *SETTINGS]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main([*arguments, *SETTINGS, "--set", "pipeline=none"]) == 0
    second = capsys.readouterr().out
    assert second == (out / "result.json").read_text()
    assert json.loads(second)["time"]["step_ps"] > first["time"]["step_ps"]
    assert names(out) == FILES


def test_a_trace_without_overrides_takes_its_own_arithmetic(tmp_path: Path, trace: str) -> None:
    assert main(["run", trace, "--cosim", "none", "--out", str(tmp_path / "out")]) == 0
    config = json.loads((tmp_path / "out" / "result.json").read_text())["config"]
    assert (config["lut"]["k"], config["lut"]["lanes"], config["arithmetic"]["micro_batch"]) == (3, 2, 2)


def test_steps_may_stand_in_for_epochs(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", network, "--steps", "1", "--cosim", "none", "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["steps"] == 1


def test_a_network_is_trained_first(tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["run", network, "--batch", "400", "--seed", "3", "--cosim", "none", "--out", str(out), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    training = content["training"]
    assert (training["dataset"], training["steps"], training["batch"], training["seed"]) == ("digits", 3, 400, 3)
    assert content["network"]["step"] == training["steps"]
    assert content["network"]["batch"] <= 400
    run = content["network"]["run"]
    assert (run["steps"], run["batch"], run["training_images"], run["briefly_trained"]) == (3, 400, 1437, True)
    assert 0 < training["held_out_accuracy"] < 1
    assert {*FILES, "trace.h5"} <= set(names(out))
    assert not [name for name in names(out) if name.endswith((".partial", ".part"))]


def test_a_sample_is_co_simulated(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["run", trace, "--cosim", "sample", "--simulator", "myhdl", "--out", str(out), "--json", *SETTINGS]
    code = main(arguments)
    content = json.loads(capsys.readouterr().out)
    assert (code, content["cosim"]["passed"]) == (0, True)
    assert sum(entry["tiles"] for entry in content["cosim"]["comparisons"]) > 0
    assert {unit["verdict"] for unit in content["cosim"]["units"]} <= {"proved", "not yet"}


def test_a_failed_comparison_is_exit_code_1(tmp_path: Path, trace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"passed": False, "simulators": ["myhdl"], "notes": [], "comparisons": [], "units": []}
    result = type("Result", (), {"to_dict": lambda self: failed})
    monkeypatch.setattr("tlm.job.cosimulate", lambda *_args, **_options: result())
    out = tmp_path / "out"
    assert main(["run", trace, "--simulator", "myhdl", "--out", str(out), *SETTINGS]) == 1  # which needs no builds
    assert json.loads((out / "result.json").read_text())["cosim"] == failed


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["digits-cnv"],
            "run: unknown network or trace, got 'digits-cnv', allowed: cifar-cnn, .*, a network file (.yaml) "
            "or a trace file",
        ),
        (["no.h5"], "run: unknown network or trace, got 'no.h5', allowed: .*"),
        (["no.yaml"], "network: cannot read the network file (.*No such file.*), got 'no.yaml'"),
        (
            ["digits-mlp", "--config", "h2lern"],
            "config: unknown preset, got 'h2lern', allowed: edge, h2learn, tiny or a .yaml file",
        ),
        (["digits-mlp", "--set", "drm=4"], "h2learn: drm: unknown key, got 'drm', allowed: .*"),
        (["digits-mlp", "--set", "lut.k=9"], "h2learn: lut.k: wrong value, got 9, allowed: less than or equal to 8"),
        (["digits-mlp", "--set", "lut.k"], "--set: wrong override, got 'lut.k', allowed: key=value, .*"),
        (["digits-mlp", "--epochs", "0"], ".*epochs.* got 0, allowed: .*"),
        (["digits-mlp", "--steps", "0"], ".*steps.* got 0, allowed: .*"),
        (["digits-mlp", "--batch", "0"], ".*batch.* got 0, allowed: .*"),
        (["digits-mlp", "--cosim", "some"], "run: Invalid value for '--cosim': 'some' is not one of .*"),
        (["digits-mlp", "--simulator", "vcs"], "run: Invalid value for '--simulator': 'vcs' is not one of .*"),
        (
            ["digits-mlp", "--set", "buffers.output_bytes=5"],
            "buffers.output_bytes: the output buffer is smaller than one tile of every forward array, "
            "got 5, allowed: at least 6144",
        ),
    ],
)
def test_mistakes_are_one_line_before_anything_is_done(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments, "--out", "out"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    pattern = re.escape(line).replace(r"\.\*", ".*")
    assert re.fullmatch(f"h2learn: error: {pattern}\n", captured.err), captured.err
    assert names(tmp_path) == []


def test_a_missing_simulator_is_found_out_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["run", "digits-mlp", "--simulator", "verilator", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert "verilator" in error
    assert error.count("\n") == 1
    assert names(tmp_path) == []


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif kind == "checksum":
        content[len(content) // 2] ^= 1
    elif kind == "text":
        content = bytearray(b"not a trace at all\n")
    else:
        content = bytearray()
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["truncated", "checksum", "text", "empty"])
def test_damaged_traces(kind: str, tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage(Path(trace), kind)
    assert main(["run", trace, "--cosim", "none", "--out", str(tmp_path / "out"), *SETTINGS]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"h2learn: error: {trace}: ")
    assert error.count("\n") == 1
    assert names(tmp_path) == ["step.h5"]


def test_another_arithmetic_than_the_trace_s(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", trace, "--set", "lut.k=4", "--out", str(tmp_path / "out")]) == 2
    assert "lut.k" in capsys.readouterr().err
    assert names(tmp_path) == ["step.h5"]


def test_an_output_that_is_a_file(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (trace, f"{trace}/deeper"):
        assert main(["run", trace, "--cosim", "none", "--out", out, *SETTINGS]) == 2
        error = capsys.readouterr().err
        assert error.startswith("h2learn: error: --out: the output folder cannot be written (")
        assert error.endswith("allowed: a folder that can be made and written\n")


def test_a_folder_that_no_one_can_write(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", trace, "--cosim", "none", "--out", "/proc/nothing/out", *SETTINGS]) == 2
    assert capsys.readouterr().err.startswith("h2learn: error: --out: the output folder cannot be written (")


def test_what_was_there_stays_where_a_run_fails(
    tmp_path: Path, trace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["run", trace, "--cosim", "none", "--out", str(out), *SETTINGS]) == 0
    before = {name: (out / name).read_bytes() for name in names(out)}

    def fail(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tlm.memory.flat_dram.bytes_by_channel", fail)
    assert main(["run", trace, "--cosim", "none", "--out", str(out), *SETTINGS]) == 130
    assert capsys.readouterr().err == "h2learn: interrupted\n"
    assert {name: (out / name).read_bytes() for name in names(out)} == before


def test_as_a_process(tmp_path: Path, trace: str) -> None:
    done = h2learn("run", trace, "--cosim", "none", "--out", "out", *SETTINGS, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path / "out") == FILES


TRAINING = """
import sys
from pathlib import Path
from tlm.cli.main import main
from workloads import trainer
advance = trainer._advance
def told(*arguments):
    progress = advance(*arguments)
    Path("step").touch()
    return progress
trainer._advance = told
sys.exit(main())
"""
"""The command line, with a file for the first step that is done: from then on nothing is imported or compiled."""


def interrupted_training(folder: Path, *arguments: str, ready: Callable[[], bool] = lambda: True) -> str:
    """Interrupt `h2learn run` in `folder` while it trains and `ready` holds; return what it says on stderr."""
    command = [sys.executable, "-c", TRAINING, "run", *arguments]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not ((folder / "step").exists() and ready()):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    return error


def test_ctrl_c_leaves_no_partial_file(tmp_path: Path, network: str) -> None:
    """2,000 epochs would take minutes."""
    error = interrupted_training(tmp_path, network, "--epochs", "2000", "--cosim", "none", "--out", "out")
    assert error == "h2learn: interrupted\n"
    left = names(tmp_path / "out") if (tmp_path / "out").exists() else []
    assert not [name for name in left if name.endswith((".partial", ".part")) or name in FILES or name == "trace.h5"]
