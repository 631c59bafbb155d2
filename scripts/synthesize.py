#!/usr/bin/env python3
"""Count the transistors of every hardware block with Yosys, and write them to rtl_models/transistors.json.

Only blocks whose hardware has changed since the file was written are synthesised again; for one whose sources changed
but whose Verilog did not, the record is only stamped anew. Without Yosys nothing is done, visibly, with exit code 0; in
continuous integration (CI=true) that is a failure. Exit code 0: the file is up to date, 1: it is not, 2: wrong use.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from time import perf_counter

from rtl_models.errors import InputError
from rtl_models.simulators import SimulatorError
from rtl_models.simulators.process import call_worker, tail
from rtl_models.simulators.source import source_hash
from rtl_models.transistors import FILE_NAME, BlockCount, TransistorCounts, parse_counts
from rtl_models.verification.synthesis_points import SynthesisPoint, synthesis_points

FILE = Path(__file__).resolve().parent.parent / "rtl_models" / FILE_NAME
TOP = "unit"
# dfflegalize turns flip-flops with enable or reset into plain ones and gates, which alone have a transistor count
COMMAND = f"synth -flatten -top {TOP}; dfflegalize -cell $_DFF_P_ x; abc -g cmos2; opt_clean; stat -tech cmos"
MADE_BY = "scripts/synthesize.py; do not edit"


def yosys_version() -> str | None:
    """Return Yosys' version line, None where it is not installed."""
    if shutil.which("yosys") is None:
        return None
    return subprocess.run(["yosys", "-V"], capture_output=True, text=True, check=True).stdout.strip()


def synthesise(verilog: str, label: str) -> tuple[int, dict[str, int]]:
    """Return the transistors of a Verilog text and how many cells of each kind; raises SimulatorError for a failure."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "unit.v").write_text(verilog, encoding="utf-8")
        script = f"read_verilog unit.v; {COMMAND}"
        done = subprocess.run(["yosys", "-p", script], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SimulatorError(label, f"yosys failed:\n{tail(done.stdout + done.stderr)}")
    return read_statistics(done.stdout, label)


def read_statistics(log: str, label: str) -> tuple[int, dict[str, int]]:
    """Return the last statistics of a log: transistors, and the cells by kind.

    Raises SimulatorError where there are none, or where Yosys marks the sum with a plus (cells it cannot count).
    """
    statistics = log.rpartition("Printing statistics.")[2]
    total = re.search(r"Estimated number of transistors:\s+(\d+)(\+?)", statistics)
    if total is None or total[2]:
        raise SimulatorError(label, f"yosys counted not all cells:\n{tail(statistics)}")
    cells = {kind: int(count) for kind, count in re.findall(r"^\s+(\$\S+)\s+(\d+)$", statistics, re.MULTILINE)}
    return int(total[1]), cells


def count(point: SynthesisPoint, before: BlockCount | None) -> tuple[BlockCount, bool]:
    """Return the point's record, and whether Yosys had to be asked for it."""
    verilog = call_worker("rtl_models.simulators.convert_worker", (point.unit, TOP), point.label)
    verilog_hash = hashlib.sha256(verilog.encode()).hexdigest()
    stamp = {"source_sha256": source_hash(point.unit)}
    if before is not None and before.verilog_sha256 == verilog_hash:
        return before.model_copy(update=stamp), False
    transistors, cells = synthesise(verilog, point.label)
    record = BlockCount(
        block=point.block,
        geometry=point.geometry,
        transistors=transistors,
        flip_flops=cells.get("$_DFF_P_", 0),
        cells=cells,
        date=datetime.datetime.now(datetime.UTC).date(),
        verilog_sha256=verilog_hash,
        **stamp,
    )
    return record, True


def read_file(path: Path, tool: str | None) -> dict[str, BlockCount]:
    """Return the records by label; none where the file is missing, or another tool or command made it."""
    if not path.exists():
        return {}
    counts = parse_counts(path.read_text(encoding="utf-8"))
    if counts.command != COMMAND or (tool is not None and counts.tool != tool):
        return {}
    return {SynthesisPoint(b.block, dict(b.geometry), unit=None).label: b for b in counts.blocks}  # type: ignore[arg-type]


def write_file(path: Path, tool: str, points: Sequence[SynthesisPoint], records: dict[str, BlockCount]) -> None:
    """Write the records that there are, in the order of the points, in one go."""
    blocks = tuple(records[p.label] for p in points if p.label in records)
    counts = TransistorCounts(made_by=MADE_BY, tool=tool, command=COMMAND, blocks=blocks)
    partial = path.with_suffix(".partial")
    partial.write_text(counts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def stale(points: Sequence[SynthesisPoint], records: dict[str, BlockCount]) -> Iterator[str]:
    """Yield a line for each point whose record is missing or of other sources."""
    for point in points:
        record = records.get(point.label)
        if record is None:
            yield f"{point.label}: not synthesised"
        elif record.source_sha256 != source_hash(point.unit):
            yield f"{point.label}: sources have changed"


def update(
    path: Path, tool: str, points: Sequence[SynthesisPoint], blocks: Sequence[str], jobs: int, fresh: bool
) -> None:
    """Bring the file up to date, point by point; what is done is kept where a later point fails."""
    records = read_file(path, tool)
    known = {} if fresh else dict(records)
    waiting = [p for p in points if (not blocks or p.block in blocks) and any(stale([p], known))]
    with ThreadPoolExecutor(jobs) as pool:
        start = perf_counter()
        futures = {pool.submit(count, point, known.get(point.label)): point for point in waiting}
        for future in as_completed(futures):
            point = futures[future]
            records[point.label], asked = future.result()
            write_file(path, tool, points, records)
            note = "" if asked else " (Verilog unchanged)"
            seconds = perf_counter() - start
            print(f"{seconds:7.1f} s {records[point.label].transistors:10,} {point.label}{note}", flush=True)
    write_file(path, tool, points, records)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=FILE, help=f"default: {FILE.parent.name}/{FILE.name}")
    parser.add_argument("--block", action="append", default=[], help="only this block (may be repeated)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: one per processor")
    parser.add_argument("--fresh", action="store_true", help="synthesise also what has not changed")
    parser.add_argument("--check", action="store_true", help="only say what is stale; needs no Yosys")
    chosen = parser.parse_args(arguments)
    if chosen.jobs < 1:
        parser.error(f"--jobs: got {chosen.jobs}, allowed: 1 or more")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Update the file, or check it, and return the exit code."""
    options = parse(arguments)
    points = synthesis_points()
    unknown = sorted(set(options.block) - {p.block for p in points})
    if unknown:
        allowed = ", ".join(dict.fromkeys(p.block for p in points))
        print(f"error: --block: got {', '.join(unknown)}, allowed: {allowed}", file=sys.stderr)
        return 2
    tool = None if options.check else yosys_version()
    if tool is None and not options.check:
        print("SKIPPED: yosys is not installed (apt-get install yosys); transistor counts stay as they are")
        return 1 if os.environ.get("CI") == "true" else 0
    try:
        if tool is not None:
            update(options.file, tool, points, options.block, options.jobs, options.fresh)
        chosen = [p for p in points if not options.block or p.block in options.block]
        lines = list(stale(chosen, read_file(options.file, tool)))
    except (InputError, SimulatorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    for line in lines:
        print(f"stale: {line}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
