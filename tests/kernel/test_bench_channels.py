"""The channel benchmark runs, agrees with plain SimPy on the end time, and writes its figures."""

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_channels.py"


def test_small_run(tmp_path, capsys) -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["main"](["--items", "200", "--repeats", "3", "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert (figures["end_ps"], figures["items"], figures["repeats"]) == (204_000, 200, 3)
    # The benchmark's target is 3; here only that the kernel is the faster one, on any loaded machine.
    assert figures["ratio"] > 1
    assert "both end at 204000 ps" in capsys.readouterr().out


def test_words_of_errors(capsys) -> None:
    script = runpy.run_path(str(SCRIPT))
    with pytest.raises(SystemExit):
        script["main"](["--items", "0"])
    assert "--items and --repeats must be at least 1, got 0 and 7" in capsys.readouterr().err
