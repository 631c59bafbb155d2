#!/usr/bin/env python3
"""Check the floating-point hardware: binary16 add and multiply on all 2^32 pairs, and both formats against SoftFloat.

Every pair goes through the Verilated block and a judge, and the results are compared bit by bit. Judges are NumPy and
Berkeley SoftFloat. The work is cut into parts that are spread over processes; finished parts are written to a state
file, and a run that is broken off goes on where it stopped. Exit code 0: no bit wrong, 1: some, 2: wrong use.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from rtl_models.errors import InputError
from rtl_models.simulators import SimulatorError
from rtl_models.simulators.build import build_unit, cache_folder
from rtl_models.simulators.elementwise import BARE
from rtl_models.verification.exhaustive import Check, PartResult, all_checks, run_part, run_sample
from rtl_models.verification.judges import softfloat_is_installed

PROGRESS_STEPS = 8  # lines of progress per check


@dataclass(frozen=True)
class Job:
    """One part of a check; `model` names the compiled hardware, with a hash of everything that went into it."""

    check: Check
    part: int
    model: str

    @property
    def key(self) -> str:
        """Identity in the state file."""
        return f"{self.check.name}/{self.check.pairs}/{self.part}/{self.model}"


class State:
    """The finished parts, one line of JSON each, appended as they come; a torn last line is ignored."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.done: dict[str, PartResult] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def add(self, job: Job, result: PartResult) -> None:
        """Keep a result, on the disk at once."""
        self.done[job.key] = result
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": job.key, **asdict(result)}) + "\n")

    def _read(self, line: str) -> None:
        try:
            record = json.loads(line)
            examples = tuple((int(a), int(b), int(got), int(want)) for a, b, got, want in record["examples"])
            result = PartResult(record["pairs"], record["wrong"], examples, record["processor_time_s"])
            self.done[record["key"]] = result
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            return


def make_jobs(checks: Iterable[Check], share: tuple[int, int]) -> list[Job]:
    """Build the hardware; return the parts of the checks that fall to share (i, n): every n-th, from the i-th on."""
    jobs = []
    for check in checks:
        model = build_unit(check.unit, BARE).stem
        jobs += [Job(check, part, model) for part in range(check.parts)]
    return jobs[share[0] - 1 :: share[1]]


def run_jobs(jobs: Sequence[Job], state: State, processes: int) -> None:
    """Run the jobs that the state does not have, over the processes."""
    waiting = [job for job in jobs if job.key not in state.done]
    if len(waiting) < len(jobs):
        print(f"{len(jobs) - len(waiting)} of {len(jobs)} parts are done already", flush=True)
    total = {job.check: sum(other.check == job.check for other in waiting) for job in waiting}
    finished = dict.fromkeys(total, 0)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(run_part, job.check, job.part): job for job in waiting}
        for future in as_completed(futures):
            job = futures[future]
            state.add(job, future.result())
            finished[job.check] += 1
            n, of = finished[job.check], total[job.check]
            if n == of or n * PROGRESS_STEPS // of > (n - 1) * PROGRESS_STEPS // of:
                print(f"{job.check.name:32} {n:4} of {of} parts", flush=True)


def summarize(jobs: Sequence[Job], state: State) -> list[dict[str, Any]]:
    """Return one record per check, over the parts of these jobs that are done."""
    records = []
    for check in dict.fromkeys(job.check for job in jobs):
        results = [state.done[job.key] for job in jobs if job.check == check and job.key in state.done]
        records.append(
            {
                "check": check.name,
                "parts": len(results),
                "of_parts": check.parts,
                "pairs": sum(r.pairs for r in results),
                "wrong": sum(r.wrong for r in results),
                "processor_time_s": sum(r.processor_time_s for r in results),
                "examples": [list(example) for r in results for example in r.examples][:4],
            }
        )
    return records


def sample(checks: Iterable[Check], stride: int) -> list[dict[str, Any]]:
    """Return one record per binary16 operation on every `stride`-th of all pairs."""
    records = []
    for check in checks:
        if check.kind != "all":
            continue
        r = run_sample(check, stride)
        name = f"{check.name}, stride {stride}"
        record = {"check": name, "parts": 1, "of_parts": 1, "pairs": r.pairs, "wrong": r.wrong}
        records.append(record | {"processor_time_s": r.processor_time_s, "examples": [list(e) for e in r.examples]})
    return records


def show(records: Sequence[dict[str, Any]], wall_time_s: float) -> None:
    """Print the table, and wrong pairs in hexadecimal."""
    print(f"{'check':44} {'parts':>9} {'pairs':>13} {'wrong':>7} {'processor s':>11}")
    for r in records:
        parts = f"{r['parts']}/{r['of_parts']}"
        print(f"{r['check']:44} {parts:>9} {r['pairs']:13,} {r['wrong']:7,} {r['processor_time_s']:11.1f}")
        for a, b, got, expected in r["examples"]:
            print(f"    a {a:#x}, b {b:#x}: {got:#x}, expected {expected:#x}")
    print(f"wall time {wall_time_s:.1f} s")


def choose(names: Sequence[str], checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """Return the checks whose names contain any of `names`, all for none; SoftFloat's only where it is installed."""
    chosen = tuple(c for c in checks if not names or any(name in c.name for name in names))
    if not chosen:
        raise InputError("unknown check", "--check", ", ".join(names), ", ".join(c.name for c in checks))
    if softfloat_is_installed():
        return chosen
    print("SKIPPED: checks against SoftFloat (pip install softfloatpy)", flush=True)
    return tuple(c for c in chosen if c.judge != "softfloat")


def share_of(text: str) -> tuple[int, int]:
    """Return (i, n) of ``i/n``, 1 <= i <= n."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise argparse.ArgumentTypeError(f"got {text}, allowed: i/n with 1 <= i <= n")
    return int(first), int(second)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="append", default=[], metavar="NAME", help="only checks with NAME in theirs")
    parser.add_argument("--part", type=share_of, default=(1, 1), metavar="I/N", help="only every N-th part, from I on")
    parser.add_argument("--pairs", type=int, default=100_000_000, help="pairs of each random check (default 1e8)")
    parser.add_argument(
        "--stride", type=int, metavar="N", help="only every N-th of all binary16 pairs, and nothing else"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one per processor")
    parser.add_argument("--state", type=Path, metavar="FILE", help="default: in the cache of built models")
    parser.add_argument("--fresh", action="store_true", help="forget the finished parts in the state file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    chosen = parser.parse_args(arguments)
    for name in ("pairs", "stride", "processes"):
        if getattr(chosen, name) is not None and getattr(chosen, name) < 1:
            parser.error(f"--{name}: got {getattr(chosen, name)}, allowed: 1 or more")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and return the exit code."""
    options = parse(arguments)
    start = perf_counter()
    try:
        checks = choose(options.check, all_checks(options.pairs))
        if options.stride:
            records = sample(checks, options.stride)
        else:
            path = options.state or cache_folder() / "exhaustive_fp16.jsonl"
            if options.fresh:
                path.unlink(missing_ok=True)
            jobs, state = make_jobs(checks, options.part), State(path)
            run_jobs(jobs, state, options.processes)
            records = summarize(jobs, state)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (SimulatorError, BrokenProcessPool) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    wall_time_s = perf_counter() - start
    show(records, wall_time_s)
    if options.json:
        figures = {"wall_time_s": wall_time_s, "processes": options.processes, "checks": records}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if any(r["wrong"] for r in records) else 0


if __name__ == "__main__":
    sys.exit(main())
