"""A run whose names are hostile, and its page; sessions of one headless Chromium."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.report.conftest import Run
from tests.report.test_result import RUN, TRAINING
from tlm.report.timeline import timeline

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">'\"&"
COSIM = {
    "passed": True,
    "simulators": ["verilator"],
    "notes": [],
    "sample_seed": 3,
    "comparisons": [{"tiles": 12, "mismatched_bits": 0, "mismatched_transfers": 0}],
    "units": [{"unit": "lut_row", "verdict": "proved", "reason": HOSTILE}],
}


@pytest.fixture(scope="session")
def run() -> Run:
    return Run(("spikes", "linear", 2))


@pytest.fixture(scope="session")
def content(run: Run) -> dict[str, Any]:
    """The run's `result.json` with all that may be in it, and hostile names wherever a user can put them."""
    changed = copy.deepcopy(run.content) | {"training": TRAINING, "cosim": COSIM}
    changed["network"] |= {"name": HOSTILE, "dataset": HOSTILE, "run": RUN}
    changed["network"]["layers"][0]["name"] = HOSTILE
    changed["config"]["name"] = HOSTILE
    changed["provenance"]["command"] = HOSTILE
    return changed


@pytest.fixture(scope="session")
def events(run: Run) -> list[dict[str, Any]]:
    """Those of `timeline.json`, one of the streams with a hostile name."""
    found: list[dict[str, Any]] = timeline(run.result, run.trace.network)["traceEvents"]
    first = next(event for event in found if event["ph"] == "b")
    return [event | {"name": HOSTILE} if event is first else event for event in found]


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    """One Chromium for all tests; skips them where it is missing."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = Options()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    session = Chrome(options=options, service=Service(driver))
    yield session
    session.quit()
