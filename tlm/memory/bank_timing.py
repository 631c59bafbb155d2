"""Legality: the earliest tick of every next command, kept up to date as commands are issued.

`View.earliest` answers for one bank (ACT, PRE, RD, WR, REFPB) or one unit (PREAB, REFAB) without side effects; which
command is issued is decided elsewhere.
"""

from __future__ import annotations

from numba import njit

from tlm.memory.bank_rules import (
    BANK_SCOPE,
    GROUP_SCOPE,
    OTHER_STACKS_SCOPE,
    OTHER_UNITS_SCOPE,
    STACK_SCOPE,
)
from tlm.memory.bank_state import (
    ACTIVATE_TICKS,
    BANKS,
    BANKS_PER_GROUP,
    BANKS_PER_STACK,
    BANKS_PER_UNIT,
    COMMAND_COUNTS,
    COMMANDS,
    FAW_TICKS,
    HALF_CLOCK,
    LOG_BANK,
    LOG_COLUMN,
    LOG_COMMAND,
    LOG_COMMANDS,
    LOG_REQUEST,
    LOG_ROW,
    LOG_TICK,
    NEVER,
    PAIR_BANK,
    PAIR_TICK,
    PAIR_UNIT,
    ROW_BUS_FREE,
    Ints,
    View,
)
from tlm.memory.commands import DramCommand

ACT, PRE, REFPB = int(DramCommand.ACT), int(DramCommand.PRE), int(DramCommand.REFPB)
PREAB, REFAB = int(DramCommand.PREAB), int(DramCommand.REFAB)


@njit(nogil=True, cache=True)
def _not_before(earliest: Ints, low: int, high: int, tick: int) -> None:
    for i in range(low, high):
        if earliest[i] < tick:
            earliest[i] = tick


@njit(nogil=True, cache=True)
def record(v: View, command: int, bank: int, row: int, column: int, request: int, tick: int) -> None:
    """Count a command and push back every later command that it delays; `bank` is a unit's first for unit commands."""
    c, earliest = v.constants, v.earliest
    banks = c[BANKS]
    unit = bank // c[BANKS_PER_UNIT]
    unit_low, unit_high = unit * c[BANKS_PER_UNIT], (unit + 1) * c[BANKS_PER_UNIT]
    for r in range(v.first_rule[command], v.first_rule[command + 1]):
        base = v.rules[r, 0] * banks
        scope = v.rules[r, 1]
        until = tick + v.rules[r, 2]
        if v.rules[r, 0] >= PREAB:
            _not_before(earliest, base + unit, base + unit + 1, until)
        elif scope == BANK_SCOPE:
            _not_before(earliest, base + bank, base + bank + 1, until)
        elif scope == GROUP_SCOPE:
            low = bank - bank % c[BANKS_PER_GROUP]
            _not_before(earliest, base + low, base + low + c[BANKS_PER_GROUP], until)
        elif scope == OTHER_UNITS_SCOPE:
            _not_before(earliest, base, base + unit_low, until)
            _not_before(earliest, base + unit_high, base + banks, until)
        elif scope == STACK_SCOPE or scope == OTHER_STACKS_SCOPE:
            low = bank - bank % c[BANKS_PER_STACK]
            high = low + c[BANKS_PER_STACK]
            if scope == STACK_SCOPE:
                _not_before(earliest, base + low, base + high, until)
            else:
                _not_before(earliest, base + unit_low, base + low, until)
                _not_before(earliest, base + high, base + unit_high, until)
        else:
            _not_before(earliest, base + unit_low, base + unit_high, until)
    if command == ACT:
        a = v.activations
        i = 4 * unit
        a[i], a[i + 1], a[i + 2], a[i + 3] = a[i + 1], a[i + 2], a[i + 3], tick
        if a[i] >= 0:
            _not_before(earliest, ACT * banks + unit_low, ACT * banks + unit_high, a[i] + c[FAW_TICKS])
        v.scalars[ROW_BUS_FREE] = tick + c[ACTIVATE_TICKS]
    v.statistics[COMMAND_COUNTS + command] += 1
    if c[LOG_COMMANDS]:
        _log(v, command, bank, row, column, request, tick)


@njit(nogil=True, cache=True)
def _log(v: View, command: int, bank: int, row: int, column: int, request: int, tick: int) -> None:
    n = v.scalars[COMMANDS]
    entry = v.commands[n]
    entry[LOG_TICK], entry[LOG_COMMAND], entry[LOG_BANK] = tick, command, bank
    entry[LOG_ROW], entry[LOG_COLUMN], entry[LOG_REQUEST] = row, column, request
    v.scalars[COMMANDS] = n + 1


@njit(nogil=True, cache=True)
def remember_rising_edge(v: View, command: int, bank: int, tick: int) -> None:
    """Note a row command of a rising edge: at the falling edge that pairs with it some PREs must not come (HBM3)."""
    if v.constants[HALF_CLOCK] and tick % 2 == 1:
        s = v.scalars
        s[PAIR_TICK] = tick + (v.constants[ACTIVATE_TICKS] if command == ACT else 1)
        s[PAIR_UNIT] = bank // v.constants[BANKS_PER_UNIT]
        s[PAIR_BANK] = -1 if command == PREAB or command == REFAB else bank


@njit(nogil=True, cache=True)
def row_slot(v: View, command: int, bank: int, tick: int) -> int:
    """Return the first tick from `tick` on at which the row bus can take a command that is legal at `tick`."""
    if tick >= NEVER:
        return tick
    tick = max(tick, v.scalars[ROW_BUS_FREE])
    if not v.constants[HALF_CLOCK] or tick % 2 == 1:
        return tick
    if command != PRE and command != PREAB:
        return tick + 1
    s = v.scalars
    if tick != s[PAIR_TICK] or s[PAIR_UNIT] != bank // v.constants[BANKS_PER_UNIT]:
        return tick
    if s[PAIR_BANK] >= 0 and command == PRE and s[PAIR_BANK] != bank:
        return tick
    return tick + 1
