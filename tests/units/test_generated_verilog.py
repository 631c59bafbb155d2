"""Generated Verilog in which a block's local variable hides a signal of the same name computes something else."""

from __future__ import annotations

import re

import pytest

from tests.units.icarus import verilog_of
from tests.units.test_icarus import UNITS, case_of

_DECLARED = re.compile(
    r"^(?P<local> +)?(?:reg|wire|input|output|integer)\s*(?:\[[^\]]*\])?\s*(?P<name>\w+)", re.MULTILINE
)


def hidden_signals(verilog: str) -> set[str]:
    """Return the names that are both a signal of the module and a variable of one of its blocks."""
    found = [(bool(m["local"]), m["name"]) for m in _DECLARED.finditer(verilog)]
    return {name for local, name in found if local} & {name for local, name in found if not local}


@pytest.mark.parametrize("name", UNITS)
def test_no_variable_hides_a_signal(name: str) -> None:
    assert hidden_signals(verilog_of(case_of(name)[0])) == set()


def test_a_hidden_signal_is_found() -> None:
    text = "input [3:0] a;\nwire [3:0] total;\nalways @(a) begin: ADD\n    reg [4-1:0] total;\nend\nendmodule\n"
    assert hidden_signals(text) == {"total"}
