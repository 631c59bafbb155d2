"""A broken row, or one that adds in another order, is caught by the operands and patterns that the row's tests use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from rtl_models.lut_row import LutRowGeometry, lut_row_unit
from rtl_models.reference.row import RowTask, row_outputs, row_stimulus
from rtl_models.simulators import SimulatorError, VerilatorSimulator
from rtl_models.simulators.build import compile_verilog
from rtl_models.simulators.process import call_worker
from tests.rtl_models.simulation import needs_verilator
from tests.units import row_oracle
from tests.units.row_oracle import Number, add, balanced_tree
from tests.units.test_lut_row import Case, random_task, stalls

pytestmark = pytest.mark.slow

ROW = LutRowGeometry(k=2, lanes=4, depth=4, adder_latency_cycles=5)  # an adder slower than a build


def chain(leaves: list[Number], fmt: FloatFormat) -> Number:
    total = leaves[0]
    for leaf in leaves[1:]:
        total = add(total, leaf, fmt)
    return total


def halves_first(leaves: list[Number], fmt: FloatFormat) -> Number:
    half = len(leaves) // 2
    return balanced_tree([leaves[i // 2 + (i % 2) * half] for i in range(len(leaves))], fmt)


def swapped_neighbours(leaves: list[Number], fmt: FloatFormat) -> Number:
    return balanced_tree([leaves[0], leaves[2], leaves[1], *leaves[3:]], fmt)


@pytest.mark.parametrize("tree", [chain, halves_first, swapped_neighbours])
def test_another_order_of_addition_gives_other_bits(tree: Callable[[list[Number], FloatFormat], Number]) -> None:
    tasks = [random_task(np.random.default_rng(seed), ROW, 6) for seed in range(10)]
    different = [row_oracle.sums(t, BINARY16, BINARY32) != row_oracle.sums(t, BINARY16, BINARY32, tree) for t in tasks]
    assert sum(different) >= 5


def test_permuted_lanes_give_other_bits() -> None:
    tasks = [random_task(np.random.default_rng(seed), ROW, 6) for seed in range(10)]
    order = [2, 0, 3, 1]

    def permuted(task: RowTask) -> RowTask:
        return replace(task, weights=task.weights[:, order], indices=task.indices[:, order])

    different = [
        row_oracle.sums(t, BINARY16, BINARY32) != row_oracle.sums(permuted(t), BINARY16, BINARY32) for t in tasks
    ]
    assert sum(different) >= 5


@pytest.fixture(scope="module")
def verilog() -> str:
    text: str = call_worker("rtl_models.simulators.convert_worker", (lut_row_unit(ROW), "unit"), "row")
    return text


MUTANTS = {
    "no interlock": ("hazard = 1;", "hazard = 0;"),
    "output overwritten": ("assign enable = (out_ready || (!sent));", "assign enable = 1;"),
    "tables swap too early": ("(last_lookup || (!serving))", "1"),
    "lane reads the table being built": ("{bank, index_index[4-1:2]}", "{other_bank, index_index[4-1:2]}"),
    "partial sums not doubled": ("accumulator0_operand = accumulator0_doubled;", ""),
    "neighbours swapped": ("float_adder4_add", None),
}


@needs_verilator
@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_hardware_is_caught(mutant: str, verilog: str, tmp_path: Path) -> None:
    good, bad = MUTANTS[mutant]
    assert good in verilog
    broken = swap_operands(verilog) if bad is None else verilog.replace(good, bad)
    assert broken != verilog
    unit = lut_row_unit(ROW)
    library = tmp_path / f"{mutant.replace(' ', '_')}.so"
    compile_verilog(broken, unit, library)
    rng = np.random.default_rng(5)
    cases = [stalls(rng, Case(random_task(rng, ROW, 6))) for _ in range(20)]
    stimuli = [row_stimulus(ROW, c.task, c.valid, c.ready) for c in cases]
    try:
        responses = VerilatorSimulator(watchdog_cycles=500).run_library(library, unit, stimuli)
    except SimulatorError:
        return
    same_bits = all(
        row_outputs(ROW, r).tolist() == row_oracle.sums(c.task, BINARY16, BINARY32)
        for c, r in zip(cases, responses, strict=True)
    )
    same_cycles = all(
        {name: t.tolist() for name, t in r.transfers.items()} == row_oracle.transfers(ROW, c.task, c.valid, c.ready)
        for c, r in zip(cases, responses, strict=True)
    )
    assert not (same_bits and same_cycles)


def swap_operands(verilog: str) -> str:
    """Let the tree add lanes 0 and 2, and lanes 1 and 3."""
    lanes, begin, tree = verilog.partition("adder_tree0_float_adder4_add")
    swapped = (begin + tree).replace("float_widen1_wide", "\0").replace("float_widen2_wide", "float_widen1_wide")
    return lanes + swapped.replace("\0", "float_widen2_wide")
