"""`h2learn run` builds hardware in the background; Ctrl-C ends that too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_run import NETWORK, interrupted_training
from tests.cosim.test_cosimulate import needs_verilator


@needs_verilator
def test_ctrl_c_ends_the_builds_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while it trains and the first units are built; only the process itself gets the signal."""
    (tmp_path / "tiny.yaml").write_text(NETWORK)
    cache = tmp_path / "cache"
    monkeypatch.setenv("H2LEARN_CACHE", str(cache))
    error = interrupted_training(
        tmp_path, "tiny.yaml", "--epochs", "2000", "--out", "out", ready=lambda: cache.exists() and any(cache.iterdir())
    )
    assert error == "h2learn: interrupted\n"
    assert not [path.name for path in cache.iterdir() if path.name.startswith(".")]  # folders of unfinished builds
