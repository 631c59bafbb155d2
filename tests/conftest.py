"""Settings for all tests: reproducible properties, plots without a display."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Before anything imports matplotlib: tests draw into files only.
os.environ["MPLBACKEND"] = "Agg"

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine and run; nothing depends on time, because a first call may compile a kernel and a
# machine may be busy with other things.
settings.register_profile(
    "reproducible", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("reproducible")

# A run started in the background of a script ignores Ctrl-C, and so would every process under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are made, but empty files take their places: drawing takes longer than what most tests are about."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _figure, path, **_settings: Path(path).touch())
