"""A broken backward unit, or one that adds in another order, is caught by the operands and patterns of its tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_models.backward_unit import backward_unit
from rtl_models.formats import BINARY16, BINARY32, FloatFormat
from rtl_models.reference.backward_items import (
    BackwardTask,
    backward_item_sums,
    backward_payloads,
    backward_stimulus,
)
from rtl_models.simulators import SimulatorError, VerilatorSimulator
from rtl_models.simulators.build import compile_verilog
from rtl_models.simulators.process import call_worker
from tests.rtl_models.simulation import needs_verilator
from tests.units import backward_oracle
from tests.units.row_oracle import Number, rounded
from tests.units.test_backward_unit import SMALL, Case, random_task, stalls

pytestmark = pytest.mark.slow

TASKS = [random_task(np.random.default_rng(seed), SMALL, 6, most=12) for seed in range(10)]


def in_reverse(task: BackwardTask) -> BackwardTask:
    """Return the task with every item's gradients in reverse order."""
    first = np.repeat(np.cumsum(task.counts) - task.counts, task.counts)
    last = first + np.repeat(task.counts, task.counts) - 1
    order = first + last - np.arange(len(first))
    return replace(task, values=task.values[order], rows=task.rows[order])


def fused(total: Number, gradient: Number, weight: Number, fmt: FloatFormat) -> Number:
    """Leave out the rounding of the product."""
    return rounded(total + gradient * weight, fmt)


def stored_first(total: Number, gradient: Number, weight: Number, fmt: FloatFormat) -> Number:
    """Store the first product instead of adding it to +0: a sum can be -0."""
    return (
        rounded(gradient * weight, fmt)
        if total == 0
        else backward_oracle.multiply_then_add(total, gradient, weight, fmt)
    )


def test_another_order_of_addition_gives_other_bits() -> None:
    different = [
        backward_oracle.sums(t, BINARY16, BINARY32) != backward_oracle.sums(in_reverse(t), BINARY16, BINARY32)
        for t in TASKS
    ]
    assert sum(different) >= 5


@pytest.mark.parametrize(("total", "differ"), [(BINARY32, False), (BINARY16, True)])
def test_rounding_the_product_matters_where_it_is_not_exact(total: FloatFormat, differ: bool) -> None:
    found = [backward_oracle.sums(t, BINARY16, total, fused) != backward_oracle.sums(t, BINARY16, total) for t in TASKS]
    assert any(found) == differ


def test_the_first_product_is_added_to_plus_zero() -> None:
    stored = [backward_oracle.sums(t, BINARY16, BINARY32, stored_first) for t in TASKS]
    assert any(s != backward_oracle.sums(t, BINARY16, BINARY32) for s, t in zip(stored, TASKS, strict=True))


MUTANTS = {
    "no interlock": ("under_way = started[gradient_slot];", "under_way = 0;"),
    "interlock across groups": ("under_way = started[gradient_slot];", "under_way = 1;"),
    "sums not begun": ("_first <= (!started[gradient_slot]);", "_first <= 0;"),
    "sums always begun": ("_first <= (!started[gradient_slot]);", "_first <= 1;"),
    "drained before the last sum": ("_under_way = (found != 0);", "_under_way = 0;"),
    "sums overwritten before they are sent": ("(after == 0) && (!group_control0_draining)", "(after == 0)"),
    "output overwritten": ("(sums_ready || (!drain_control0_valid))", "1"),
    "lists overwritten": ("_finishing && (!mask_compactor0_closed)", "_finishing"),
    "lanes taken too soon": ("assign element_issue0_free = (", "assign element_issue0_free = 1 || ("),
    "items without gradients": ("drain_control0_present <= filled;", "drain_control0_present <= 3;"),
    "group ends with any last element": ("after[gradient_slot] = 0;", "after = 0;"),
    "counts of another group": ("{drain_control0_drained_group, ", "{group, "),
}


@pytest.fixture(scope="module")
def verilog() -> str:
    text: str = call_worker("rtl_models.simulators.convert_worker", (backward_unit(SMALL), "unit"), "backward")
    return text


@needs_verilator
@pytest.mark.parametrize("mutant", [None, *MUTANTS])
def test_broken_hardware_is_caught(mutant: str | None, verilog: str, tmp_path: Path) -> None:
    good, bad = MUTANTS[mutant] if mutant else ("", "")
    assert good in verilog
    unit = backward_unit(SMALL)
    library = tmp_path / f"{(mutant or 'whole').replace(' ', '_')}.so"
    compile_verilog(verilog.replace(good, bad) if mutant else verilog, unit, library)
    rng = np.random.default_rng(5)
    cases = [case for t in TASKS for case in (Case(t), stalls(rng, Case(t)))]
    stimuli = [backward_stimulus(SMALL, c.task, c.valid, c.ready) for c in cases]
    same = True
    try:
        responses = VerilatorSimulator(watchdog_cycles=500).run_library(library, unit, stimuli)
    except SimulatorError:
        same, responses = False, []
    for case, response in zip(cases, responses, strict=False):
        sums = backward_item_sums(case.task, BINARY16, BINARY32)
        expected = backward_payloads(SMALL, case.task, sums)
        same &= all(np.array_equal(response.payloads["sums"][name], words) for name, words in expected.items())
        cycles = backward_oracle.transfers(SMALL, case.task, case.valid, case.ready)
        same &= {name: t.tolist() for name, t in response.transfers.items()} == cycles
    assert same == (mutant is None)
