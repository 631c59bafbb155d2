"""The commands of the controller keep every rule of the protocol checker; spoilt logs are caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory.protocol_checker import Checker, check
from tests.memory.protocol_rules import ACCESSES, Command, Request, Standard, load
from tlm.memory.commands import DramCommand
from tlm.memory.controller import CONTROLLERS
from tlm.memory.reference.traces import GEOMETRY, TRACES, Requests, reference_trace
from tlm.memory.replay import ReplayResult, replay
from tlm.memory.standard import load_standard

KINDS = {
    command: {"PREAB": "PREab", "REFAB": "REFab", "REFPB": "REFpb"}.get(command.name, command.name)
    for command in DramCommand
}


def run(standard: str, requests: Requests, controller: str = "base") -> ReplayResult:
    """Replay requests and keep the commands."""
    return replay(*requests, load_standard(standard), CONTROLLERS[controller], log_commands=True)


def log_of(result: ReplayResult) -> list[Command]:
    """Return the commands of a replay as the checker takes them."""
    return [command_of(record) for record in result.commands[0].tolist()]


def command_of(record: tuple[int, ...]) -> Command:
    """Return one record of the log; a place is as long as the command's reach."""
    tick, kind, *place, row, column, request = record
    reached = tuple(level for level in place if level >= 0)
    return Command(tick, KINDS[DramCommand(kind)], reached, row, column, request)


def asked(checked: Standard, requests: Requests) -> list[Request]:
    """Return where the reference's mapping puts each request."""
    addresses, is_write = requests
    return [
        checked.decode(address, write) for address, write in zip(addresses.tolist(), is_write.tolist(), strict=True)
    ]


def checked_run(standard: str, requests: Requests, controller: str = "base") -> tuple[Checker, ReplayResult]:
    """Replay requests under a configuration with the mapping RoBaRaCoCh and check the commands."""
    config = CONTROLLERS[controller]
    assert config.mapping == "RoBaRaCoCh"
    result = run(standard, requests, controller)
    rules = load(standard, wck_always_on=controller == "lpddr5_wck_on")
    idle_precharges = config.row_policy == "closed"
    return check(rules, log_of(result), asked(rules, requests), config.refresh, idle_precharges), result


@pytest.mark.parametrize("standard", GEOMETRY)
@pytest.mark.parametrize("trace", TRACES)
def test_the_reference_traces(standard: str, trace: str) -> None:
    checker, result = checked_run(standard, reference_trace(standard, trace, 2500))
    assert checker.violations == []
    assert checker.last_data_tick == result.cycles_total * checker.standard.clock
    if checker.last_data_tick > 1.1 * checker.standard.refresh_interval:
        assert any(command.kind == "REFab" for command in checker.history)


@pytest.mark.parametrize(
    ("standard", "controller"),
    [
        *((standard, "closed_cap4") for standard in GEOMETRY),
        *((standard, "queue8") for standard in GEOMETRY),
        ("DDR4", "norefresh"),
        ("HBM2", "rowhit_sched"),
        ("HBM3", "hbm3_perbank_ref"),
        ("LPDDR5", "lpddr5_wck_on"),
    ],
)
def test_other_controllers(standard: str, controller: str) -> None:
    for trace in ("t3_seq_2r1w", "t8b_four_streams_staggered"):
        checker, result = checked_run(standard, reference_trace(standard, trace, 1500), controller)
        assert checker.violations == []
        assert checker.last_data_tick == result.cycles_total * checker.standard.clock


@st.composite
def crowded_requests(draw: st.DrawFn, standard: str) -> Requests:
    """Draw reads and writes in a few columns of a few rows, where most of the rules are met."""
    geometry = GEOMETRY[standard]
    bank = st.integers(0, geometry.banks - 1)
    places = draw(st.lists(st.tuples(st.integers(0, 3), bank, st.integers(0, 5), st.booleans()), min_size=1))
    rows, banks, columns, is_write = (np.array(values) for values in zip(*places, strict=True))
    addresses = (rows * geometry.banks + banks) * geometry.row_bytes + columns * geometry.burst_bytes
    return addresses.astype(np.int64), is_write.astype(np.bool_)


@pytest.mark.parametrize("controller", ["base", "closed_cap4"])
@pytest.mark.parametrize("standard", GEOMETRY)
@settings(max_examples=40)
@given(data=st.data())
def test_any_requests(standard: str, controller: str, data: st.DataObject) -> None:
    checker, result = checked_run(standard, data.draw(crowded_requests(standard)), controller)
    assert checker.violations == []
    assert checker.merged == [result.forwarded_reads, result.coalesced_writes]


@pytest.mark.parametrize(
    ("changes", "trace", "rule"),
    [
        (("nRCD=15",), "t4_rand_read_64m", "ACT-RD (nRCD)"),
        (("nRP=15", "nRC=54"), "t6_stride_row", "PRE-ACT (nRP)"),
        (("nRAS=38", "nRC=54"), "t6_stride_row", "ACT-PRE (nRAS)"),
        (("nRAS=38", "nRC=54"), "t6_stride_row", "ACT-ACT, one bank (nRC)"),
        (("nCCDL=5",), "t1_seq_read", "RD-RD, group (nCCDL)"),
        (("nCCDL=5",), "t2_seq_write", "WR-WR, group (nCCDL)"),
        (("nRRDS=3",), "t4_rand_read_64m", "ACT-ACT, rank (nRRDS)"),
        (("nRRDL=5",), "t4_rand_read_64m", "ACT-ACT, group (nRRDL)"),
        (("nFAW=20",), "t4_rand_read_64m", "four ACT (nFAW)"),
        (("nWTRL=8",), "t3_seq_2r1w", "WR-RD, group (nWTRL)"),
        (("nWTRS=2",), "t8b_four_streams_staggered", "WR-RD, rank (nWTRS)"),
        (("nWR=17",), "t8_four_streams", "WR-PRE (nWR)"),
        (("nCL=15",), "t3_seq_2r1w", "RD-WR"),
        (("nRFC=400",), "t6_stride_row", "REFab-any (nRFC)"),
        (("nREFI=9000",), "t6_stride_row", "REFab out of its interval (nREFI)"),
    ],
)
def test_a_controller_that_breaks_one_rule_is_caught(changes: tuple[str, ...], trace: str, rule: str) -> None:
    requests = reference_trace("DDR4", trace, 1500)
    result = replay(*requests, load_standard("DDR4", changes), CONTROLLERS["base"], log_commands=True)
    rules = load("DDR4")
    found = check(rules, log_of(result), asked(rules, requests), "all_bank").violations
    assert rule in {violation.rule for violation in found}


class TestSpoiltLogs:
    """A log without fault, spoilt in one place: each time the checker must say so."""

    @pytest.fixture(params=GEOMETRY)
    def spoil(self, request: pytest.FixtureRequest) -> tuple[Standard, list[Command], list[Request]]:
        standard: str = request.param
        requests = reference_trace(standard, "t6_stride_row", 60)
        checker, _ = checked_run(standard, requests, "norefresh")
        assert checker.violations == []
        return checker.standard, checker.history, asked(checker.standard, requests)

    def test_one_command_one_clock_earlier(self, spoil: tuple[Standard, list[Command], list[Request]]) -> None:
        """Rows follow each other in one bank as fast as they can: nothing but the first could come earlier."""
        standard, commands, requests = spoil
        for index, command in enumerate(commands):
            if index and command.kind not in ("ACT2", "CAS"):
                changed = [
                    *commands[:index],
                    replace(command, tick=command.tick - standard.clock),
                    *commands[index + 1 :],
                ]
                assert check(standard, changed, requests, "none").violations, command

    def test_any_command_left_out(self, spoil: tuple[Standard, list[Command], list[Request]]) -> None:
        standard, commands, requests = spoil
        for index, command in enumerate(commands):
            found = check(standard, commands[:index] + commands[index + 1 :], requests, "none").violations
            assert found, command

    def test_any_command_given_twice(self, spoil: tuple[Standard, list[Command], list[Request]]) -> None:
        standard, commands, requests = spoil
        for index, command in enumerate(commands):
            if command.kind != "CAS":
                again = replace(command, tick=command.tick + standard.clock)
                found = check(standard, [*commands[: index + 1], again, *commands[index + 1 :]], requests, "none")
                assert found.violations, command

    def test_any_access_to_another_row(self, spoil: tuple[Standard, list[Command], list[Request]]) -> None:
        standard, commands, requests = spoil
        for index, command in enumerate(commands):
            if command.kind in ACCESSES:
                changed = [*commands[:index], replace(command, row=command.row + 1), *commands[index + 1 :]]
                assert check(standard, changed, requests, "none").violations, command
