"""The protocol checker itself: each rule holds at its limit and is broken one tick before it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.memory.protocol_checker import check
from tests.memory.protocol_rules import SCOPE_LEVELS, Command, Request, Rule, Standard, load
from tlm.memory.reference import TIMINGS_JSON
from tlm.memory.reference.traces import GEOMETRY

STANDARDS = {name: load(name) for name in GEOMETRY}
RULES = [(name, rule) for name, standard in STANDARDS.items() for rule in standard.rules]

BANK = (0, 0, 0, 0)
SAME_SCOPE = {
    "bank": BANK,
    "group": (0, 0, 0, 1),
    "stack": (0, 0, 1, 0),
    "other stack": (0, 1, 0, 0),
    "rank": (0, 1, 2, 3),
}
OTHER_SCOPE = {
    "bank": (0, 0, 0, 1),
    "group": (0, 0, 1, 0),
    "stack": (0, 1, 0, 0),
    "other stack": BANK,
    "rank": (1, 0, 0, 0),
}
ROW, COLUMN = 7, 3
READ, WRITE = (Request(is_write, BANK, ROW, COLUMN) for is_write in (False, True))


def broken(standard: Standard, commands: list[Command], *requests: Request, refresh: str = "none") -> set[str]:
    """Return the names of the rules that a log breaks."""
    return {violation.rule for violation in check(standard, commands, requests, refresh).violations}


def pair(standard: Standard, rule: Rule, before: str, after: str, ticks: int, place: tuple[int, ...]) -> list[Command]:
    """Return `rule.count` commands and one more that counts `ticks` after the first of them."""
    first = Command(1000, before, BANK, ROW)
    commands = [replace(first, tick=1000 + later) for later in range(rule.count)]
    tick = standard.last_tick(first) + ticks - standard.length(after) + 1
    return [*commands, Command(tick, after, place, ROW)]


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[f"{name} {rule.name}" for name, rule in RULES])
def test_every_rule_is_tight(name: str, rule: Rule) -> None:
    standard = STANDARDS[name]
    for before in rule.before:
        for after in rule.after:
            place = SAME_SCOPE[rule.scope]
            assert rule.name not in broken(standard, pair(standard, rule, before, after, rule.ticks, place))
            assert rule.name in broken(standard, pair(standard, rule, before, after, rule.ticks - 1, place))
            place = OTHER_SCOPE[rule.scope]
            assert rule.name not in broken(standard, pair(standard, rule, before, after, rule.ticks - 1, place))


@pytest.mark.parametrize(
    ("name", "rule", "ticks"),
    [
        ("DDR4", "RD-WR", 10),
        ("DDR4", "WR-RD, rank (nWTRS)", 19),
        ("DDR4", "WR-RD, group (nWTRL)", 25),
        ("DDR4", "WR-PRE (nWR)", 34),
        ("DDR4", "four ACT (nFAW)", 26),
        ("LPDDR5", "RD-WR", 12),
        ("LPDDR5", "WR-RD, rank (nWTRS)", 16),
        ("LPDDR5", "WR-RD, group (nWTRL)", 23),
        ("LPDDR5", "WR-PRE (nWR)", 39),
        ("LPDDR5", "PREab-ACT (nRP)", 17),
        ("HBM2", "RD-WR", 13),
        ("HBM2", "WR-RD, rank (nWTRS)", 13),
        ("HBM2", "WR-RD, group (nWTRL)", 15),
        ("HBM2", "ACT-WR (nRCD)", 12),
        ("HBM3", "RD-WR", 40),
        ("HBM3", "WR-RD, rank (nWTRS)", 38),
        ("HBM3", "WR-RD, group (nWTRL)", 44),
        ("HBM3", "WR-PRE (nWR)", 90),
        ("HBM3", "RD-RD, other stack (nCCDR)", 6),
        ("HBM3", "PRE-PRE (nPPD)", 4),
    ],
)
def test_times_worked_out_by_hand(name: str, rule: str, ticks: int) -> None:
    assert [found.ticks for found in STANDARDS[name].rules if found.name == rule] == [ticks]


UNUSED = {"nCS", "nCAS", "nREFIpb", "nRFMab", "nRFMpb"}
"""Between ranks, of which there is one; a CAS is right before its access; per-bank and managed refresh's rates."""


@pytest.mark.parametrize("name", STANDARDS)
def test_every_timing_of_the_table_is_used(name: str) -> None:
    timings = json.loads(TIMINGS_JSON.read_text(encoding="utf-8"))["standards"][name]["timings_in_CK"]
    without_effect = {
        timing for timing, clocks in timings.items() if load(name, changes={timing: clocks + 1}) == STANDARDS[name]
    }
    assert without_effect == UNUSED & timings.keys()
    assert len({rule.name for rule in STANDARDS[name].rules}) == len(STANDARDS[name].rules)
    assert {rule.scope for rule in STANDARDS[name].rules} <= set(SCOPE_LEVELS)


@pytest.mark.parametrize(
    ("name", "act_ticks", "pre_ticks", "first_end"), [("HBM2", 2, 1, 32), ("HBM3", 3, 1, 109), ("DDR4", 1, 1, 37)]
)
def test_commands_hold_their_bus(name: str, act_ticks: int, pre_ticks: int, first_end: int) -> None:
    standard = STANDARDS[name]
    other = (1, 0, 0, 0)
    act, pre = Command(1, "ACT", BANK, ROW), Command(200, "PRE", BANK)
    assert "row bus" in broken(standard, [act, Command(act_ticks, "ACT", other, ROW)])
    assert "row bus" not in broken(standard, [act, Command(1 + act_ticks, "ACT", other, ROW)])
    assert "row bus" in broken(standard, [act, pre, Command(200 + pre_ticks - 1, "PRE", other)])
    assert "row bus" not in broken(standard, [act, pre, Command(200 + pre_ticks, "PRE", other)])
    rule = next(rule for rule in standard.rules if rule.name == "ACT-RD (nRCD)")
    read = pair(standard, rule, "ACT", "RD", rule.ticks, BANK)[1].tick - 999
    read += (read - 1) % standard.clock
    checker = check(standard, [act, Command(read, "RD", BANK, ROW, COLUMN, 0)], [READ], "none")
    assert checker.violations == []
    assert checker.last_data_tick == first_end


def test_row_and_column_commands_share_the_bus_but_in_hbm() -> None:
    commands = [Command(1, "ACT", BANK, ROW), Command(100, "RD", BANK, ROW), Command(100, "PRE", (0, 0, 1, 0))]
    for name, standard in STANDARDS.items():
        assert ("row bus" in broken(standard, commands)) == (not name.startswith("HBM"))
    twice = [Command(1, "ACT", BANK, ROW), Command(100, "RD", BANK, ROW), Command(100, "RD", (1, 0, 0, 0), ROW)]
    assert "column bus" in broken(STANDARDS["HBM2"], twice)
    assert "column bus" in broken(STANDARDS["HBM3"], [*twice[:2], replace(twice[2], tick=101)])
    assert "column bus" not in broken(STANDARDS["HBM3"], [*twice[:2], replace(twice[2], tick=102)])


def log(standard: Standard) -> list[Command]:
    """Return a log without fault: a read, and a write to another row of the same bank."""
    act, access, pre = (Command(tick, kind, BANK, ROW) for tick, kind in ((1, "ACT"), (101, "RD"), (301, "PRE")))
    commands = [act, replace(access, column=COLUMN, request=0), pre]
    commands += [
        Command(501, "ACT", BANK, ROW + 1),
        Command(601, "WR", BANK, ROW + 1, COLUMN, 1),
        Command(901, "PREab", BANK[:1]),
        Command(1201, "REFab", BANK[:1]),
    ]
    if standard.act2_within:
        commands += [Command(3, "ACT2", BANK, ROW), Command(504, "ACT2", BANK, ROW + 1)]
        commands += [Command(100, "CAS", BANK), Command(600, "CAS", BANK)]
    return sorted(commands, key=lambda command: command.tick)


REQUESTS = (READ, replace(WRITE, row=ROW + 1))


@pytest.mark.parametrize("name", STANDARDS)
class TestFaults:
    def test_none(self, name: str) -> None:
        assert check(STANDARDS[name], log(STANDARDS[name]), REQUESTS, "none").violations == []

    @pytest.mark.parametrize(
        ("dropped", "rules"),
        [
            ("ACT", {"access to a row that is not open", "PRE of a closed bank"}),
            ("PRE", {"ACT in an open bank"}),
            ("PREab", {"REFab with an open bank"}),
            ("RD", {"each request served exactly once"}),
            ("WR", {"each request served exactly once"}),
        ],
    )
    def test_a_dropped_command(self, name: str, dropped: str, rules: set[str]) -> None:
        standard = STANDARDS[name]
        commands = log(standard)
        commands.remove(next(command for command in commands if command.kind == dropped))
        if dropped == "ACT" and standard.act2_within:
            rules = rules | {"ACT2 without its ACT"}
        assert broken(standard, commands, *REQUESTS) == rules

    @pytest.mark.parametrize(
        ("change", "rules"),
        [
            ({"row": ROW + 5}, {"access to a row that is not open", "access that is not what was asked for"}),
            ({"column": COLUMN + 1}, {"access that is not what was asked for"}),
            ({"kind": "WR"}, {"access that is not what was asked for"}),
            ({"request": 1}, {"access that is not what was asked for", "each request served exactly once"}),
            ({"request": 2}, {"access without a request", "each request served exactly once"}),
            ({"request": -1}, {"access without a request", "each request served exactly once"}),
            ({"kind": "NOP"}, {"unknown command", "each request served exactly once"}),
            ({"tick": 0}, {"order of the log"}),
        ],
    )
    def test_a_changed_read(self, name: str, change: dict[str, int | str], rules: set[str]) -> None:
        commands = log(STANDARDS[name])
        index = next(i for i, command in enumerate(commands) if command.kind == "RD")
        commands[index] = replace(commands[index], **change)  # type: ignore[arg-type]
        found = broken(STANDARDS[name], commands, *REQUESTS)
        assert rules <= found
        if "tick" not in change:
            assert found == rules

    def test_a_request_served_twice(self, name: str) -> None:
        commands = log(STANDARDS[name])
        index = next(i for i, command in enumerate(commands) if command.kind == "RD")
        commands.insert(index + 1, replace(commands[index], tick=commands[index].tick + 8))
        assert broken(STANDARDS[name], commands, *REQUESTS) == {"each request served exactly once"}

    def test_requests_merged_with_a_write_and_behind_it(self, name: str) -> None:
        """W R W R of one burst: the read is forwarded, the write merged; a read that is sent comes behind the write."""
        standard = STANDARDS[name]
        asked = [WRITE, READ, WRITE, READ]
        behind = [
            Command(tick, "RD" if tick > 301 else "WR", BANK, ROW, COLUMN, tick // 300 - 1) for tick in (301, 1201)
        ]
        checker = check(standard, behind, asked, "none")
        orders = "access before an earlier write of its burst"
        assert checker.merged == [1, 1]
        found = {violation.rule for violation in checker.violations}
        assert not found & {orders, "each request served exactly once"}
        before = [Command(301, "RD", BANK, ROW, COLUMN, 3), Command(601, "WR", BANK, ROW, COLUMN, 0)]
        assert orders in broken(standard, before, *asked)

    def test_data_that_overlaps(self, name: str) -> None:
        """A write behind a read, as if the turnaround were forgotten."""
        standard = STANDARDS[name]
        apart = standard.read_latency + standard.burst - standard.write_latency
        commands = [Command(100, "RD", BANK, ROW), Command(100 + apart, "WR", BANK, ROW)]
        assert "data bus" not in broken(standard, commands)
        commands[1] = replace(commands[1], tick=99 + apart)
        assert "data bus" in broken(standard, commands)

    def test_half_clocks_are_for_precharges(self, name: str) -> None:
        commands = [replace(command, tick=command.tick + 1) for command in log(STANDARDS[name])]
        found = check(STANDARDS[name], commands, REQUESTS, "none").violations
        assert {violation.rule for violation in found} == ({"half a clock"} if name == "HBM3" else set())
        kinds = {violation.command.kind for violation in found if violation.command}
        assert kinds == ({"ACT", "RD", "WR", "REFab"} if name == "HBM3" else set())

    def test_refreshes(self, name: str) -> None:
        standard = STANDARDS[name]
        interval = standard.refresh_interval
        good = [Command(number * interval + 9, "REFab", (0,)) for number in (1, 2, 3)]
        assert broken(standard, good, refresh="all_bank") == set()
        assert broken(standard, good[2:], refresh="all_bank") == {"REFab out of its interval (nREFI)", "REFab missing"}
        early = [replace(good[0], tick=interval - 1), *good[1:]]
        assert broken(standard, early, refresh="all_bank") == {"REFab out of its interval (nREFI)"}

    def test_a_precharge_that_does_nothing(self, name: str) -> None:
        pre = [Command(1, "PRE", BANK)]
        assert broken(STANDARDS[name], pre) == {"PRE of a closed bank"}
        assert check(STANDARDS[name], pre, (), "none", idle_precharges=True).violations == []

    @pytest.mark.parametrize("kind", ["RDA", "WRA"])
    def test_an_access_that_closes_its_row(self, name: str, kind: str) -> None:
        commands = [Command(100, kind, BANK, ROW), Command(900, "RD", BANK, ROW)]
        found = broken(STANDARDS[name], [Command(1, "ACT", BANK, ROW), *commands])
        assert "access to a row that is not open" in found
        assert "ACT in an open bank" not in broken(STANDARDS[name], [commands[0], Command(900, "ACT", BANK, ROW)])

    def test_refresh_of_one_bank_that_is_open(self, name: str) -> None:
        commands = [Command(1, "ACT", BANK, ROW), Command(900, "REFpb", BANK)]
        assert "REFpb of an open bank" in broken(STANDARDS[name], commands)


class TestSplitActivation:
    LPDDR5 = STANDARDS["LPDDR5"]

    def test_the_second_half_in_time(self) -> None:
        act = Command(1, "ACT", BANK, ROW)
        assert broken(self.LPDDR5, [act, Command(9, "ACT2", BANK, ROW)]) == set()
        assert broken(self.LPDDR5, [act, Command(10, "ACT2", BANK, ROW)]) == {"ACT2 too late (nAAD)"}
        assert broken(self.LPDDR5, [act, Command(9, "ACT2", BANK, ROW + 1)]) == {"ACT2 without its ACT"}

    def test_nothing_between_the_halves(self) -> None:
        act = Command(1, "ACT", BANK, ROW)
        other = Command(6, "ACT", (0, 0, 1, 0), ROW)
        assert broken(self.LPDDR5, [act, other]) == {"ACT before the ACT2 of another"}
        assert "access before ACT2" in broken(self.LPDDR5, [act, Command(50, "RD", BANK, ROW)])
        assert broken(self.LPDDR5, [act, Command(50, "PRE", BANK)]) == {"PRE between ACT and ACT2"}

    def test_the_data_clock(self) -> None:
        """A burst keeps it running for 17 + 2 + 1 clocks behind a read, 9 + 2 + 1 behind a write."""
        lapsed = "WCK has lapsed"
        cas, read = Command(99, "CAS", BANK), Command(100, "RD", BANK, ROW)
        assert lapsed in broken(self.LPDDR5, [read])
        assert lapsed not in broken(self.LPDDR5, [cas, read])
        assert lapsed in broken(self.LPDDR5, [cas, Command(100, "PRE", BANK), replace(read, tick=101)])
        assert lapsed not in broken(self.LPDDR5, [cas, read, replace(read, tick=119)])
        assert lapsed in broken(self.LPDDR5, [cas, read, replace(read, tick=120)])
        write = replace(read, kind="WR")
        assert lapsed not in broken(self.LPDDR5, [cas, write, replace(write, tick=111)])
        assert lapsed in broken(self.LPDDR5, [cas, write, replace(write, tick=112)])
        assert lapsed not in broken(load("LPDDR5", wck_always_on=True), [read])


@pytest.mark.parametrize("name", STANDARDS)
def test_addresses_are_decoded_as_the_reference_maps_them(name: str) -> None:
    standard, geometry = STANDARDS[name], GEOMETRY[name]
    column = standard.decode(geometry.burst_bytes, False)
    assert (column.place, column.row, column.column) == (BANK, 0, 1)
    row = standard.decode(geometry.row_bytes * geometry.banks, True)
    assert (row.is_write, row.place, row.row, row.column) == (True, BANK, 1, 0)
    places = {standard.decode(index * geometry.row_bytes, False).place for index in range(geometry.banks)}
    assert len(places) == geometry.banks
