"""Legality: the earliest tick of every next command, kept up to date as commands are issued.

The table `EARLIEST` answers for one bank (ACT, PRE, RD, WR, REFPB) or one unit (PREAB, REFAB) without side effects;
which command is issued is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tlm.memory import bank_rules as rules
from tlm.memory.bank_state import (
    ACTIVATE_TICKS,
    ACTIVATIONS,
    BANKS,
    BANKS_PER_GROUP,
    BANKS_PER_STACK,
    BANKS_PER_UNIT,
    COMMAND_COUNTS,
    EARLIEST,
    FAW_TICKS,
    FIRST_RULE,
    HALF_CLOCK,
    LOG_BANK,
    LOG_COLUMN,
    LOG_COMMAND,
    LOG_COMMANDS,
    LOG_FIELDS,
    LOG_REQUEST,
    LOG_ROW,
    LOG_TICK,
    LOGGED,
    NEVER,
    PAIR_BANK,
    PAIR_TICK,
    PAIR_UNIT,
    ROW_BUS_FREE,
    UNIT_BITS,
    Ints,
)
from tlm.memory.commands import DramCommand

ACT, PRE, RD, WR = (int(DramCommand[name]) for name in ("ACT", "PRE", "RD", "WR"))
REFPB, PREAB, REFAB = (int(DramCommand[name]) for name in ("REFPB", "PREAB", "REFAB"))
_BANK, _GROUP, _STACK, _UNIT = rules.BANK_SCOPE, rules.GROUP_SCOPE, rules.STACK_SCOPE, rules.UNIT_SCOPE
_ONE_UNIT, _OTHER_UNITS = rules.ONE_UNIT_SCOPE, rules.OTHER_UNITS_SCOPE

UNCOUNTED = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""Compiler options of the loop and all that it calls: nothing allocates, so no references need to be counted."""

_called = njit(**UNCOUNTED, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def helper(function: Callable[..., Any]) -> Any:
    """Compile what only compiled code calls: once for all integers, not once more for every constant it is given.

    It is stored with its caller, never by itself.
    """
    dispatcher = _called(function)
    template = dispatcher.get_call_template
    dispatcher.get_call_template = lambda arguments, named: template(
        tuple(map(types.unliteral, arguments)), {name: types.unliteral(kind) for name, kind in named.items()}
    )
    return dispatcher


@intrinsic
def pointer(context: Any, array: Any) -> Any:
    """Return the address of an array's first element, to be indexed like a flat array.

    One word instead of an array's seven in every call, and no test for indices from the end: what is called here takes
    less time than a call.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), codegen


@helper
def not_before(s: Ints, low: int, high: int, tick: int) -> None:
    for i in range(low, high):
        later = tick - s[i]
        s[i] += later & ~(later >> 63)  # the larger of both; `max` would compile to masked stores, five times slower


@helper
def record(
    s: Ints, c: Ints, log: Ints, command: int, bank: int, row: int, column: int, request: int, tick: int
) -> None:
    """Note a command and push back every later command that it delays; `bank` is a unit's first for unit commands."""
    unit_low = bank & -c[BANKS_PER_UNIT]
    unit_high = unit_low + c[BANKS_PER_UNIT]
    first_activate = c[EARLIEST] + ACT * c[BANKS]
    for r in range(c[FIRST_RULE + command], c[FIRST_RULE + command + 1], 3):
        base, scope, until = c[r], c[r + 1], tick + c[r + 2]
        if scope == _BANK:
            s[base + bank] = max(s[base + bank], until)
        elif scope == _UNIT:
            if command == ACT and base == first_activate:
                until = max(until, _window_end(s, c, unit_low, tick))
            not_before(s, base + unit_low, base + unit_high, until)
        elif scope == _GROUP:
            low = bank & -c[BANKS_PER_GROUP]
            not_before(s, base + low, base + low + c[BANKS_PER_GROUP], until)
        elif scope == _ONE_UNIT:
            cell = base + (bank >> c[UNIT_BITS])
            s[cell] = max(s[cell], until)
        elif scope == _OTHER_UNITS:
            not_before(s, base, base + unit_low, until)
            not_before(s, base + unit_high, base + c[BANKS], until)
        else:
            low = bank & -c[BANKS_PER_STACK]
            high = low + c[BANKS_PER_STACK]
            if scope == _STACK:
                not_before(s, base + low, base + high, until)
            else:
                not_before(s, base + unit_low, base + low, until)
                not_before(s, base + high, base + unit_high, until)
    if command == ACT:
        s[ROW_BUS_FREE] = tick + c[ACTIVATE_TICKS]
    note(s, c, log, command, bank, row, column, request, tick)


@helper
def note(s: Ints, c: Ints, log: Ints, command: int, bank: int, row: int, column: int, request: int, tick: int) -> None:
    """Count a command, and log it where that is asked for."""
    s[COMMAND_COUNTS + command] += 1
    if c[LOG_COMMANDS]:
        n = s[LOGGED] * LOG_FIELDS
        log[n + LOG_TICK], log[n + LOG_COMMAND], log[n + LOG_BANK] = tick, command, bank
        log[n + LOG_ROW], log[n + LOG_COLUMN], log[n + LOG_REQUEST] = row, column, request
        s[LOGGED] += 1


@helper
def _window_end(s: Ints, c: Ints, unit_low: int, tick: int) -> int:
    """Four-activate window: note an ACT, and return the tick before which the unit must not have a fifth."""
    a = c[ACTIVATIONS] + 4 * (unit_low >> c[UNIT_BITS])
    s[a], s[a + 1], s[a + 2], s[a + 3] = s[a + 1], s[a + 2], s[a + 3], tick
    return s[a] + c[FAW_TICKS] if s[a] >= 0 else 0


@helper
def remember_rising_edge(s: Ints, c: Ints, command: int, bank: int, tick: int) -> None:
    """Note a row command of a rising edge: at the falling edge that pairs with it some PREs must not come (HBM3)."""
    if c[HALF_CLOCK] and tick & 1:
        s[PAIR_TICK] = tick + (c[ACTIVATE_TICKS] if command == ACT else 1)
        s[PAIR_UNIT] = bank >> c[UNIT_BITS]
        s[PAIR_BANK] = -1 if command in (PREAB, REFAB) else bank


@helper
def row_slot(s: Ints, c: Ints, command: int, bank: int, tick: int) -> int:
    """Return the first tick from `tick` on at which the row bus takes a command that is legal at `tick`."""
    if tick >= NEVER:
        return tick
    tick = max(tick, s[ROW_BUS_FREE])
    if not c[HALF_CLOCK] or tick & 1:
        return tick
    if command not in (PRE, PREAB):
        return tick + 1
    if tick != s[PAIR_TICK] or s[PAIR_UNIT] != bank >> c[UNIT_BITS]:
        return tick
    if s[PAIR_BANK] >= 0 and command == PRE and s[PAIR_BANK] != bank:
        return tick
    return tick + 1
