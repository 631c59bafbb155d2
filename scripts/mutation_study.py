#!/usr/bin/env python3
"""Break each hardware block on purpose, many times, and see whether its tests notice.

Each mutant is one change of a block's MyHDL source (scripts/mutants.yaml). The block's own tests then run on a tree in
which that one file is changed: hardware is converted, Verilated and checked as always. Every mutant must be caught,
but for those that are explained there as equivalent, which must not be. Exit code 0: so it is; 1: not; 2: wrong use.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml

from rtl_models.simulators.build import cache_folder

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "scripts" / "mutants.yaml"
LINKED = ("rtl_models", "tests", "tlm", "workloads", "scripts", "pyproject.toml")
# a mutant must be hardware: one that a tool refuses shows nothing
TOOL_FAILURES = ("convert_worker failed", "verilator failed", "g++ failed")
TESTS_FAILED = 1  # pytest's exit code
LONGEST_S = 900


class StudyError(Exception):
    """The catalogue or the tree does not allow the study: one line."""


@dataclass(frozen=True)
class Mutant:
    """One change: `replace`, which stands exactly once in `file`, becomes `by`."""

    block: str
    name: str
    file: str
    replace: str
    by: str
    tests: tuple[str, ...]
    select: str
    """pytest's -k expression."""
    equivalent: str | None
    """Why nothing can tell the mutant from the block, where that is so."""

    def apply(self, source: str) -> str:
        """Return the mutated source; raises StudyError unless the change fits in exactly one place."""
        found = source.count(self.replace)
        if found != 1 or self.replace == self.by:
            raise StudyError(
                f"{self.block}, {self.name!r}: text to replace stands {found} times in {self.file}, not once"
            )
        return source.replace(self.replace, self.by)


@dataclass(frozen=True)
class Outcome:
    """What the tests said of a mutant: caught, survived, or invalid (it is no hardware); and by whom or why."""

    mutant: Mutant
    verdict: str
    detail: str
    time_s: float

    @property
    def good(self) -> bool:
        """Whether the verdict is the wanted one."""
        return self.verdict == ("survived" if self.mutant.equivalent else "caught")


def read_catalogue(path: Path = CATALOGUE) -> list[Mutant]:
    """Return the mutants of the file, in its order; raises StudyError where a key is missing or unknown."""
    mutants = []
    for block in yaml.safe_load(path.read_text(encoding="utf-8")):
        for entry in block["mutants"]:
            unknown = set(entry) - {"name", "file", "replace", "by", "equivalent"}
            missing = {"name", "replace", "by"} - set(entry)
            if unknown or missing:
                raise StudyError(f"{path.name}, {block['block']}: keys {sorted(unknown | missing)} unknown or missing")
            mutants.append(
                Mutant(
                    block["block"],
                    entry["name"],
                    entry.get("file", block["file"]),
                    entry["replace"],
                    entry["by"],
                    tuple(block["tests"]),
                    block["select"],
                    entry.get("equivalent"),
                )
            )
    return mutants


def copy_project(folder: Path) -> None:
    """Copy the project to `folder`, so that nobody's editing can pass for a mutant's effect.

    Compiled code comes with it, and stays valid: the files keep their times.
    """
    for name in LINKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            (folder / name).write_bytes(source.read_bytes())


def make_tree(project: Path, folder: Path, file: str, text: str) -> None:
    """Fill `folder` with links to `project`, but for `file`, which gets `text`, and the folders above it."""
    for name in LINKED:
        _link(project / name, folder / name, Path(file), Path(name), text)


def _link(source: Path, target: Path, file: Path, here: Path, text: str) -> None:
    if here == file:
        target.write_text(text, encoding="utf-8")
    elif here in file.parents:
        target.mkdir()
        for child in source.iterdir():
            if child.name != "__pycache__":
                _link(child, target / child.name, file, here / child.name, text)
    else:
        target.symlink_to(source)


def run_tests(mutant: Mutant, text: str, study_folder: Path) -> tuple[int, str]:
    """Run the mutant's tests on a tree in which its file has `text`; return pytest's exit code and output.

    `study_folder` holds the copy of the project and the cache of built models.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        make_tree(study_folder / "project", folder, mutant.file, text)
        cache = study_folder / "cache"
        environment = dict(os.environ, PYTHONPATH=str(folder), H2LEARN_CACHE=str(cache), PYTHONDONTWRITEBYTECODE="1")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "--tb=line"]
        tests = subprocess.Popen(
            [*command, "-k", mutant.select, *mutant.tests],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        )  # fmt: skip
        try:
            output, _ = tests.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            kill_with_children(tests.pid)  # a mutant that hangs takes its simulators with it
            output, _ = tests.communicate()
            return -signal.SIGKILL, output
        return tests.returncode, output


def kill_with_children(pid: int) -> None:
    """Kill a process, its children, theirs, and so on, in whatever process groups they are."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    doomed = [pid]
    for parent in doomed:
        doomed += [child for child, its_parent in parents.items() if its_parent == parent]
    for process in doomed:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def judge(mutant: Mutant, study_folder: Path) -> Outcome:
    """Run one mutant and say what became of it."""
    start = perf_counter()
    code, output = run_tests(mutant, mutant.apply(_source(study_folder, mutant)), study_folder)
    verdict, detail = classify(code, output)
    return Outcome(mutant, verdict, detail, perf_counter() - start)


def classify(code: int, output: str) -> tuple[str, str]:
    """Return the verdict on a run of pytest, and the test that failed or what else happened."""
    failed = [line.removeprefix("FAILED ") for line in output.splitlines() if line.startswith("FAILED ")]
    failed += [line.removeprefix("ERROR ") for line in output.splitlines() if line.startswith("ERROR ")]
    if any(text in output for text in TOOL_FAILURES):
        return "invalid", next(line for line in output.splitlines() if any(text in line for text in TOOL_FAILURES))
    if code == 0:
        return "survived", ""
    if code < 0:
        return "caught", f"ended by {signal.Signals(-code).name}"
    if code == TESTS_FAILED and failed:
        return "caught", failed[0].split(" - ")[0]
    return "invalid", output.strip().splitlines()[-1] if output.strip() else f"pytest's exit code {code}"


def _source(study_folder: Path, mutant: Mutant) -> str:
    return (study_folder / "project" / mutant.file).read_text(encoding="utf-8")


def check_baselines(mutants: Sequence[Mutant], study_folder: Path, jobs: int) -> None:
    """Run each block's tests on the unchanged tree; raises StudyError where they fail, which would prove nothing."""
    firsts = list({(m.tests, m.select): m for m in mutants}.values())

    def run(mutant: Mutant) -> tuple[int, str]:
        return run_tests(mutant, _source(study_folder, mutant), study_folder)

    with ThreadPoolExecutor(jobs) as pool:
        for mutant, (code, output) in zip(firsts, pool.map(run, firsts), strict=True):
            if code != 0:
                raise StudyError(f"{mutant.block}: its tests fail without any mutant:\n{output[-2000:]}")
            print(f"{mutant.block:16} unchanged: {output.strip().splitlines()[-1]}", flush=True)


def study(mutants: Sequence[Mutant], jobs: int) -> list[Outcome]:
    """Run the baselines and all mutants, and print each outcome as it comes."""
    with tempfile.TemporaryDirectory(prefix="mutation-study-") as name:
        study_folder = Path(name)
        copy_project(study_folder / "project")
        # mutants' models stay out of the user's cache, but Verilator's run-time library is the same for all
        (study_folder / "cache").mkdir()
        for folder in cache_folder().glob("runtime-*"):
            (study_folder / "cache" / folder.name).symlink_to(folder)
        for mutant in mutants:
            mutant.apply(_source(study_folder, mutant))  # before any time is spent
        check_baselines(mutants, study_folder, jobs)

        def run(mutant: Mutant) -> Outcome:
            outcome = judge(mutant, study_folder)
            flag = "" if outcome.good else "  <-- NOT AS CLAIMED"
            print(f"{mutant.block:16} {mutant.name:56} {outcome.verdict:9} {outcome.time_s:6.1f} s{flag}", flush=True)
            return outcome

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(run, mutants))


def summarize(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one record per block."""
    records = []
    for block in dict.fromkeys(o.mutant.block for o in outcomes):
        own = [o for o in outcomes if o.mutant.block == block]
        records.append(
            {
                "block": block,
                "mutants": len(own),
                "caught": sum(o.verdict == "caught" for o in own),
                "equivalent": sum(o.mutant.equivalent is not None for o in own),
                "not_as_claimed": [o.mutant.name for o in own if not o.good],
                "outcomes": [
                    {"name": o.mutant.name, "verdict": o.verdict, "detail": o.detail, "equivalent": o.mutant.equivalent}
                    for o in own
                ],
            }
        )
    return records


def show(records: Sequence[dict[str, Any]]) -> None:
    """Print the table, and every survivor with its explanation."""
    print(f"\n{'block':16} {'mutants':>7} {'caught':>7} {'equivalent':>10} {'share of the others caught':>27}")
    for r in records:
        others = r["mutants"] - r["equivalent"]
        share = sum(o["verdict"] == "caught" and not o["equivalent"] for o in r["outcomes"]) / others if others else 1.0
        print(f"{r['block']:16} {r['mutants']:7} {r['caught']:7} {r['equivalent']:10} {share:27.1%}")
    for r in records:
        for o in r["outcomes"]:
            if o["verdict"] != "caught":
                why = o["equivalent"] or o["detail"] or "nothing noticed it"
                print(f"{r['block']}, {o['name']}: {o['verdict']}: {why}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--block", action="append", default=[], help="only this block (may be repeated)")
    parser.add_argument("--mutant", metavar="TEXT", help="only mutants with TEXT in their names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (default: processors)")
    parser.add_argument("--list", action="store_true", help="list the mutants and run nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the outcomes to FILE")
    chosen = parser.parse_args(arguments)
    if chosen.jobs < 1:
        parser.error(f"--jobs: got {chosen.jobs}, allowed: 1 or more")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and return the exit code."""
    options = parse(arguments)
    try:
        mutants = read_catalogue()
        blocks = sorted({m.block for m in mutants})
        unknown = sorted(set(options.block) - set(blocks))
        if unknown:
            raise StudyError(f"--block: got {', '.join(unknown)}, allowed: {', '.join(blocks)}")
        chosen = [m for m in mutants if not options.block or m.block in options.block]
        chosen = [m for m in chosen if not options.mutant or options.mutant in m.name]
        if not chosen:
            raise StudyError(f"--mutant: got {options.mutant}, allowed: part of a name that --list shows")
        if options.list:
            for m in chosen:
                print(f"{m.block:16} {m.name}{' (equivalent)' if m.equivalent else ''}")
            return 0
        outcomes = study(chosen, options.jobs)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    records = summarize(outcomes)
    show(records)
    if options.json:
        options.json.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    return 0 if all(o.good for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
