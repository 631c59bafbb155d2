"""`h2learn evaluate`: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.analysis.evaluation.conftest import FAST, NETWORK
from tlm.cli.main import main

pytestmark = pytest.mark.usefixtures("blank_pictures")

FILES = [
    "ablations_1.png",
    "evaluate.html",
    "evaluate.journal",
    "evaluate.json",
    "evaluate.md",
    "ratios.png",
    "stages.png",
]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    path = tmp_path / "tiny.yaml"
    path.write_text(NETWORK)
    options = [
        "--stages",
        "100",
        "--steps",
        "1",
        "--training-batch",
        "8",
        "--batch",
        "4",
        "--workers",
        "1",
        "--ablations",
        "pipeline",
    ]
    settings = [argument for override in FAST for argument in ("--set", override)]
    folders = ["--traces", str(tmp_path / "traces"), "--out", str(tmp_path / "out")]
    return ["evaluate", "--networks", str(path), *options, *settings, *folders]


def test_tables_files_and_json(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    for words in ("times less energy", "5.74-10.20", "100 %, step 1", "simulated whole: 4 images", "briefly trained"):
        assert words in captured.out
    assert f"results: {tmp_path}/out/evaluate.json, evaluate.md" in captured.out
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "evaluate.json").read_text())
    assert printed["networks"][0]["stages"][0]["percent"] == 100


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--stages", "0,,1"], "--stages: wrong value in the list, got ''"),
        (["--steps", "many"], "evaluate: Invalid value for '--steps'"),
        (["--networks", "none.h5"], "network: unknown network, got 'none.h5'"),
        (["--networks", "resnet18-gated-lif"], "network: unknown network, got 'resnet18-gated-lif'"),
        (["--stages", "0,100"], "stages: 0 % and 100 % of the run are the same step"),
    ],
)
def test_one_line_and_exit_code_2(
    arguments: list[str], more: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"h2learn: error: {words}"), captured.err
    assert captured.err.count("\n") == 1
