"""Timing rules between commands, per family: a table of data, and its form for the compiled controller.

A rule says: after a command of `preceding`, a command of `following` is legal in `scope` only `terms` clocks later.
Scopes: the same bank, bank group, stack id, unit (rank or pseudo-channel) or channel; ``other_stack_ids`` of the unit;
``other_units`` of the channel. Only the later of all rules counts. `window` = 4: counted from the fourth command back.

The rules are JEDEC's (DDR4: JESD79-4, LPDDR5: JESD209-5, HBM2: JESD235, HBM3: JESD238); where these leave a choice,
what the reference simulator does: read to write is nCL + nBL + 2 - nCWL, except in HBM3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlm.memory.commands import DramCommand as C
from tlm.memory.family import Family
from tlm.memory.standard import DramStandard

SCOPES = ("bank", "group", "stack_id", "other_stack_ids", "unit", "other_units")
BANK_SCOPE, GROUP_SCOPE, STACK_SCOPE, OTHER_STACKS_SCOPE, UNIT_SCOPE, OTHER_UNITS_SCOPE = range(6)
ONE_UNIT_SCOPE = 6  # of commands to a whole unit, which have one cell each

RULE_FIELDS = 3  # following command, scope, ticks
FOLLOWERS = 8
"""Commands ACT to REFAB, of which the controller asks the earliest tick (RDA and WRA follow as RD and WR do), and PRE
once more: as `HELD_PRECHARGE` it is never legal while a request waits for its column command on the bank's row."""

HELD_PRECHARGE = 7

Terms = tuple[str | int, ...]


@dataclass(frozen=True)
class Rule:
    """After `preceding`, `following` in `scope` waits for the sum of `terms` (a leading ``-`` subtracts)."""

    scope: str
    preceding: tuple[C, ...]
    following: tuple[C, ...]
    terms: Terms
    window: int = 1


_READS, _WRITES = (C.RD, C.RDA), (C.WR, C.WRA)
_WRITE_RECOVERY: Terms = ("nCWL", "nBL", "nWR")


def family_rules(family_name: str, family: Family) -> list[Rule]:
    """Return every rule of a family."""
    all_bank_precharge = "nRPab" if family_name == "LPDDR5" else "nRP"
    rules = [
        Rule("unit", _READS, (C.RD,), ("nBL",)),
        Rule("unit", _WRITES, (C.WR,), ("nBL",)),
        Rule("stack_id", _READS, (C.RD,), ("nCCDS",)),
        Rule("stack_id", _WRITES, (C.WR,), ("nCCDS",)),
        Rule("group", _READS, (C.RD,), ("nCCDL",)),
        Rule("group", _WRITES, (C.WR,), ("nCCDL",)),
        Rule("unit", _READS, (C.WR,), ("nRTW",) if family_name == "HBM3" else ("nCL", "nBL", 2, "-nCWL")),
        Rule("unit", _WRITES, (C.RD,), ("nCWL", "nBL", "nWTRS")),
        Rule("group", _WRITES, (C.RD,), ("nCWL", "nBL_max" if family_name == "LPDDR5" else "nBL", "nWTRL")),
        Rule("unit", (C.ACT,), (C.ACT,), ("nRRDS",)),
        Rule("group", (C.ACT,), (C.ACT,), ("nRRDL",)),
        Rule("unit", (C.ACT,), (C.ACT,), ("nFAW",), window=4),
        Rule("bank", (C.ACT,), (C.ACT,), ("nRC",)),
        Rule("bank", (C.ACT,), (C.RD,), (family.row_to_read,)),
        Rule("bank", (C.ACT,), (C.WR,), (family.row_to_write,)),
        Rule("bank", (C.ACT,), (C.PRE,), ("nRAS",)),
        Rule("unit", (C.ACT,), (C.PREAB,), ("nRAS",)),
        Rule("bank", (C.RD,), (C.PRE,), ("nRTP",)),
        Rule("unit", (C.RD,), (C.PREAB,), ("nRTP",)),
        Rule("bank", (C.WR,), (C.PRE,), _WRITE_RECOVERY),
        Rule("unit", (C.WR,), (C.PREAB,), _WRITE_RECOVERY),
        Rule("bank", (C.PRE,), (C.ACT,), ("nRP",)),
        Rule("unit", (C.PREAB,), (C.ACT,), (all_bank_precharge,)),
        Rule("bank", (C.RDA,), (C.ACT,), ("nRTP", "nRP")),
        Rule("bank", (C.WRA,), (C.ACT,), (*_WRITE_RECOVERY, "nRP")),
        Rule("unit", (C.ACT,), (C.REFAB,), ("nRC",)),
        Rule("unit", (C.PRE, C.PREAB), (C.REFAB,), ("nRP",)),
        Rule("unit", (C.RDA,), (C.REFAB,), ("nRTP", "nRP")),
        Rule("unit", (C.WRA,), (C.REFAB,), (*_WRITE_RECOVERY, "nRP")),
        Rule("unit", (C.REFAB,), (C.ACT, C.PREAB), ("nRFC",)),
    ]
    if family.units == "ranks":
        back: Terms = ("nCL", "nBL", "nCS", "-nCWL") if family_name == "LPDDR5" else ("nCWL", "nBL", "nCS", "-nCL")
        rules += [
            Rule("other_units", _READS, (C.RD, C.WR), ("nBL", "nCS")),
            Rule("other_units", _WRITES, (C.RD,), back),
            Rule("other_units", _WRITES, (C.WR,), ("nBL",)),
        ]
    if "nPPD" in family.timings:
        rules.append(Rule("unit", (C.PRE, C.PREAB), (C.PRE, C.PREAB), ("nPPD",)))
    if "nCCDR" in family.timings:
        rules.append(Rule("other_stack_ids", _READS, (C.RD,), ("nCCDR",)))
    if family.per_bank_refresh:
        rules += _per_bank_refresh(family_name)
    return rules


def _per_bank_refresh(family_name: str) -> list[Rule]:
    rules = [
        Rule("bank", (C.REFPB,), (C.ACT, C.REFPB), ("nRFCpb",)),
        Rule("bank", (C.ACT,), (C.REFPB,), ("nRC",)),
        Rule("bank", (C.PRE,), (C.REFPB,), ("nRP",)),
        Rule("bank", (C.RDA,), (C.REFPB,), ("nRTP", "nRP")),
        Rule("bank", (C.WRA,), (C.REFPB,), (*_WRITE_RECOVERY, "nRP")),
    ]
    if family_name == "LPDDR5":
        return [
            *rules,
            Rule("unit", (C.REFAB,), (C.REFPB, C.REFAB), ("nRFC",)),
            Rule("unit", (C.REFPB,), (C.REFPB,), ("nPBR2PBR",)),
            Rule("unit", (C.REFPB,), (C.ACT,), ("nPBR2ACT",)),
            Rule("unit", (C.REFPB,), (C.REFAB,), ("nRFCpb",)),
        ]
    between = [Rule("unit", (C.REFPB,), (C.REFPB,), ("nRREFD",))] if family_name == "HBM3" else []
    return [
        *rules,
        *between,
        Rule("unit", (C.REFPB,), (C.ACT,), ("nRREFD",)),
        Rule("unit", (C.ACT,), (C.REFPB,), ("nRRDS",)),
    ]


@dataclass(frozen=True)
class RuleTable:
    """The rules of one standard in ticks: rules [n, (follower, scope, ticks)].

    Those of command c are rules[first[c] : first[c + 1]]; `faw_ticks` is the four-activate window, kept apart because
    it counts from an earlier ACT.
    """

    rules: NDArray[np.int64]
    first: NDArray[np.int64]
    faw_ticks: int


def rule_table(standard: DramStandard) -> RuleTable:
    """Return a standard's rules in ticks, counted between the first ticks of both commands.

    A timing counts from the last tick of a command to the last tick of the next: a longer preceding command adds, a
    longer following one takes away. Of several rules for the same scope only the longest is kept, and none that says
    less than one for a wider scope.
    """
    family, organisation = standard.rules, standard.organisation
    longest: dict[tuple[C, C, int], int] = {}
    faw_ticks = 0
    for rule in family_rules(standard.family, family):
        clocks = sum(_term(term, standard) for term in rule.terms)
        scope = SCOPES.index(rule.scope)
        if scope == STACK_SCOPE and organisation.stack_ids == 1:
            scope = UNIT_SCOPE
        absent = (scope == OTHER_STACKS_SCOPE and organisation.stack_ids == 1) or (
            scope == OTHER_UNITS_SCOPE and organisation.units == 1
        )
        for preceding in () if absent else rule.preceding:
            for following in rule.following:
                lengths = _length(preceding, family) - _length(following, family)
                ticks = clocks * family.ticks_per_clock + lengths
                if rule.window == 4:
                    faw_ticks = ticks
                    continue
                key = (preceding, following, ONE_UNIT_SCOPE if following in (C.PREAB, C.REFAB) else scope)
                longest[key] = max(ticks, longest.get(key, ticks))
    kept = {key: ticks for key, ticks in longest.items() if not _covered(key, ticks, longest)}
    rows: list[tuple[int, int, int]] = []
    first = [0]
    for command in C:
        for (preceding, following, scope), ticks in kept.items():
            if preceding == command:
                rows += [
                    (int(f), scope, ticks) for f in ([C.PRE, HELD_PRECHARGE] if following == C.PRE else [following])
                ]
        first.append(len(rows))
    table = np.array(rows, dtype=np.int64).reshape(-1, RULE_FIELDS)
    return RuleTable(table, np.array(first, dtype=np.int64), faw_ticks)


TO_UNIT, TO_GROUP, TO_PRECHARGE, TO_UNIT_PRECHARGE, COLUMN_FIELDS = 0, 2, 4, 5, 6
"""What RD and WR delay: RD and WR in their unit, both in their group, PRE of their bank, PREAB of their unit."""

NO_DELAY = -(1 << 60)


def column_delays(table: RuleTable) -> tuple[NDArray[np.int64], bool]:
    """Return (ticks [RD or WR, field], NO_DELAY where there is no rule; whether these are all rules of RD and WR)."""
    fields = {
        **{(C.RD, UNIT_SCOPE): TO_UNIT, (C.WR, UNIT_SCOPE): TO_UNIT + 1},
        **{(C.RD, GROUP_SCOPE): TO_GROUP, (C.WR, GROUP_SCOPE): TO_GROUP + 1},
        **{(C.PRE, BANK_SCOPE): TO_PRECHARGE, (C.PREAB, ONE_UNIT_SCOPE): TO_UNIT_PRECHARGE},
    }
    delays, complete = np.full((2, COLUMN_FIELDS), NO_DELAY, dtype=np.int64), True
    for side, command in enumerate((C.RD, C.WR)):
        for following, scope, ticks in table.rules[table.first[command] : table.first[command + 1]].tolist():
            if following != HELD_PRECHARGE:
                field = fields.get((following, scope))
                complete = complete and field is not None
                delays[side, field or 0] = ticks
    return delays, complete


def _covered(key: tuple[C, C, int], ticks: int, longest: dict[tuple[C, C, int], int]) -> bool:
    """Whether a rule says nothing: it ends at once, or a rule of a wider scope says as much."""
    preceding, following, scope = key
    wider = {BANK_SCOPE: (GROUP_SCOPE, STACK_SCOPE, UNIT_SCOPE), GROUP_SCOPE: (STACK_SCOPE, UNIT_SCOPE)}
    wider |= {STACK_SCOPE: (UNIT_SCOPE,), OTHER_STACKS_SCOPE: (UNIT_SCOPE,)}
    return ticks <= 0 or any(longest.get((preceding, following, other), -1) >= ticks for other in wider.get(scope, ()))


def _term(term: str | int, standard: DramStandard) -> int:
    if isinstance(term, int):
        return term
    return -standard.timings[term[1:]] if term.startswith("-") else standard.timings[term]


def _length(command: C, family: Family) -> int:
    if command == C.ACT:
        return family.activate_ticks
    return family.column_ticks if command in (C.RD, C.WR, C.RDA, C.WRA) else family.row_ticks
