"""Times the main job as a user meets it: cold (nothing compiled yet) and warm, whole processes, medians.

.venv/bin/python scripts/bench_run.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLD_LIMIT_S = 60.0  # the main job including what it compiles on the first start


def main() -> int:
    """Run the job, print the table, and return 1 if the cold median misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cold, warm = [], []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            caches = {"NUMBA_CACHE_DIR": f"{folder}/numba", "H2LEARN_CACHE": f"{folder}/models"}
            cold.append(job_seconds(caches, Path(folder) / "out"))
            warm.append(job_seconds(caches, Path(folder) / "out"))
    result = {
        "cores": os.cpu_count(),
        "cold_s": cold,
        "warm_s": warm,
        "cold_median_s": statistics.median(cold),
        "warm_median_s": statistics.median(warm),
        "limit_s": COLD_LIMIT_S,
        "good": statistics.median(cold) < COLD_LIMIT_S,
    }
    print(f"h2learn run on {result['cores']} cores, median of {arguments.repeats}")
    print(f"  first start, everything compiled: {result['cold_median_s']:6.1f} s (limit {COLD_LIMIT_S:g} s)")
    print(f"  second start:                     {result['warm_median_s']:6.1f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if result["good"] else 1


def job_seconds(caches: dict[str, str], out: Path) -> float:
    """Wall-clock seconds of one `h2learn run` with these caches."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tlm.cli", "run", "--out", str(out)]
    subprocess.run(command, env={**os.environ, **caches}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
