"""How large the page of a run is, how long it takes to write and to load, and how fast its timeline is drawn.

.venv/bin/python scripts/bench_report.py [--trace FILE] [--repeats N] [--json FILE]

Without a trace the first training step of ResNet-34 on ImageNet shapes, one image, is captured once and kept in the
cache folder. It is simulated, its page is opened in a headless Chromium several times, and the fastest load counts: the
browser's own time from the start of the navigation to the end of the load event, the timeline drawn. Exit code 1 if a
limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tlm.analysis.bandwidth.captures import captured_trace
from tlm.job import NO_COSIM, Job, run_job
from tlm.report.page.folder import folder_page
from workloads.network import load_network
from workloads.training_settings import TrainingSettings

NETWORK = "imagenet-resnet34"
LIMIT_LOAD_S = 2.0
LIMIT_BYTES = 10_000_000
LOADED = "const [entry] = performance.getEntriesByType('navigation'); return entry.loadEventEnd / 1000"
FRAMES = """
const canvas = document.getElementById("timeline-canvas"), done = arguments[0], times = [];
canvas.focus();
function frame(now) {
  times.push(now);
  if (times.length > 40) return done((times.at(-1) - times[0]) / 1000 / (times.length - 1));
  canvas.dispatchEvent(new KeyboardEvent("keydown", { key: times.length % 2 ? "+" : "-" }));
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
"""


def main() -> int:
    """Measure, print, and return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, help="a stored training step (default: ResNet-34's first, one image)")
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of so many loads counts (default 5)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    trace = arguments.trace or captured_trace(TrainingSettings(load_network(NETWORK), 1, 1, batch=1, evaluated=1))
    with tempfile.TemporaryDirectory() as name:
        found = measure(trace, Path(name), arguments.repeats)
    print(
        f"page of {found['network']}: {found['page_bytes'] / 1e6:.2f} MB from {found['timeline_bytes'] / 1e6:.1f} MB "
        f"of timeline.json, written in {found['write_processor_s']:.2f} s of processor time, loads in "
        f"{found['load_s']:.2f} s, {1 / found['frame_s']:.0f} zoomed drawings a second (load {os.getloadavg()[0]:.1f})"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    missed = found["load_s"] > LIMIT_LOAD_S or found["page_bytes"] > LIMIT_BYTES
    if missed:
        print(f"MISSED: limits are {LIMIT_LOAD_S:g} s and {LIMIT_BYTES:,} bytes")
    return int(missed)


def measure(trace: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Simulate the trace, write its page into `folder` and load it."""
    content = run_job(Job(str(trace), cosim=NO_COSIM), folder)
    before = time.process_time()
    text = folder_page(folder)
    written = time.process_time() - before
    page = folder / "report.html"
    page.write_text(text, encoding="utf-8")
    load_s, frame_s = in_browser(page, repeats)
    return {
        "network": content["network"]["name"],
        "page_bytes": page.stat().st_size,
        "timeline_bytes": (folder / "timeline.json").stat().st_size,
        "write_processor_s": written,
        "load_s": load_s,
        "frame_s": frame_s,
        "load_average": os.getloadavg()[0],
    }


def in_browser(page: Path, repeats: int) -> tuple[float, float]:
    """Return the fastest load in seconds, and the seconds between two drawings while the timeline is zoomed."""
    options = Options()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        loads = []
        for _ in range(repeats):
            browser.get(page.as_uri())
            loads.append(float(browser.execute_script(LOADED)))
        return min(loads), float(browser.execute_async_script(FRAMES))
    finally:
        browser.quit()


if __name__ == "__main__":
    sys.exit(main())
