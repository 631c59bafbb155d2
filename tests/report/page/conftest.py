"""A run and a sweep whose names are hostile, and one headless Chromium to look at their pages."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.end_to_end.steps import make_record
from tests.report.conftest import Run
from tests.report.test_result import RUN, TRAINING
from tests.sweep.conftest import raw_spec
from tlm.analysis.simulations import Processes
from tlm.report.timeline import timeline
from tlm.sweep.spec import load_spec
from tlm.sweep.sweep import run_sweep
from workloads.trace_file import write_trace

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
def sweep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with a hostile name: six points of which two cannot be."""
    folder = tmp_path_factory.mktemp("sweep")
    write_trace(make_record("spikes", "linear", 2), folder / "step.h5")
    (folder / "spec.yaml").write_text(yaml.safe_dump(raw_spec(folder / "step.h5", name=HOSTILE)))
    with Processes(1) as processes:
        run_sweep(load_spec(folder / "spec.yaml"), folder, processes, HOSTILE)
    return folder


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
    session.set_script_timeout(120)  # seconds; a machine may be busy with other things
    yield session
    session.quit()


SETTLED = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
"""A script that ends when everything asked for is drawn."""


def look(browser: Chrome, width: int, scheme: str) -> None:
    """Give the window a width, in CSS pixels, and the system light or dark colours."""
    size = {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme_wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme_wanted)


def opened(browser: Chrome, address: str) -> Iterator[Chrome]:
    """A page on a wide window in light colours, loaded anew; nothing may complain while it is used."""
    look(browser, 1200, "light")
    browser.get(address)
    browser.get_log("browser")  # what earlier tests left
    yield browser
    # "rendering" only: advice that the tests' own reading of pixels is slow
    assert [entry for entry in browser.get_log("browser") if entry["source"] != "rendering"] == []


def press(page: Chrome, *keys: str) -> None:
    """Press keys where the focus is."""
    ActionChains(page).send_keys(*keys).perform()
