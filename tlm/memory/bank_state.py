"""The state of one banked channel: a flat array with named views, so that a copy of it is a snapshot.

Ticks are absolute. `NEVER` is later than any tick. Every number is an int64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tlm.memory.bank_rules import FOLLOWERS

Ints = NDArray[np.int64]

NEVER = 1 << 62

# Scalars of the state.
NOW, WRITE_MODE, REFRESH_TICK, REFRESH_NEXT, REFRESH_LEFT, ROW_BUS_FREE, PAIR_TICK, PAIR_UNIT = range(8)
PAIR_BANK, CAS_SLOT, ACTIVATING_SLOT, ACTIVATING_DEADLINE, CLOCK_EXPIRY, OFFER_TICK = range(8, 14)
WAITING_HEAD, WAITING_TAIL, REQUESTS, READ_HEAD, WRITE_HEAD, READ_LENGTH, WRITE_LENGTH = range(14, 21)
ACTIVE_LENGTH, PRIORITY_HEAD, PRIORITY_LENGTH, FREE_LENGTH, NEXT_DUE, COMPLETED, COMMANDS = range(21, 28)
LATENCIES, LAST_DATA, ADDED_TRANSACTIONS, REFRESH_CURSOR = range(28, 32)
SCALARS = 32

# Statistics.
ROW_HITS, ROW_MISSES, ROW_CONFLICTS, READS, WRITES, FORWARDED_READS, COALESCED_WRITES = range(7)
READ_LATENCY_SUM, READ_LATENCY_MIN, READ_LATENCY_MAX, WRITE_WAIT_SUM, READ_QUEUE_SUM = range(7, 12)
WRITE_QUEUE_SUM, LAST_ACCEPTED = range(12, 14)
COMMAND_COUNTS = 14
STATISTICS = COMMAND_COUNTS + 11

# Constants of a controller and a standard, in `constants`.
BANKS, UNITS, BANKS_PER_UNIT, BANKS_PER_STACK, BANKS_PER_GROUP, READ_LATENCY, WRITE_LATENCY = range(7)
FAW_TICKS, DUAL_BUS, SPLIT_ACTIVATE, HALF_CLOCK, ACTIVATE_TICKS, ACTIVATE_DEADLINE = range(7, 13)
CLOCK_TAIL_READ, CLOCK_TAIL_WRITE, CLOCK_ALWAYS_ON, READ_QUEUE, WRITE_QUEUE, WRITE_HIGH = range(13, 19)
WRITE_LOW, OFFERS, ROW_HITS_FIRST, ROW_CAP, REFRESH_POLICY, REFRESH_INTERVAL = range(19, 25)
REFRESH_TOGETHER, REFRESH_SET_WAIT, LOG_COMMANDS, LOG_LATENCIES = range(25, 29)
CONSTANTS = 29

REFRESH_NONE, REFRESH_ALL_BANK, REFRESH_PER_BANK = range(3)

CLOSED, ACTIVATING = -1, -2
"""Values of `open_row` where no row is open."""

FILTER = 256
PRIORITY = 1024  # most maintenance commands that can wait

# Fields of a waiting burst, of a transaction and of a logged command.
LINE, BURST_BANK, BURST_ROW, BURST_COLUMN, BURST_WRITE, BURST_TRANSACTION, BURST_ARRIVAL, BURST_FIELDS = range(8)
TRANSACTION_ID, REMAINING, DONE_TICK, SEQUENCE, TRANSACTION_FIELDS = range(5)
LOG_TICK, LOG_COMMAND, LOG_BANK, LOG_ROW, LOG_COLUMN, LOG_REQUEST, LOG_FIELDS = range(7)


class View(NamedTuple):
    """Named views of the state array, and the arrays beside it.

    A queue holds slots; `key` is where `earliest` has the first legal tick of the slot's next command:
    follower x banks + bank, or the last cell, `NEVER`, while that command must not come.
    """

    scalars: Ints
    statistics: Ints
    earliest: Ints  # [FOLLOWERS x banks + 1]
    open_row: Ints  # [banks]
    busy: Ints  # [banks] activated requests that wait for their column command
    accesses: Ints  # [banks] column commands since ACT
    injected: Ints  # [banks] 1 while a PRE of the row policy waits
    open_banks: Ints  # [units]
    busy_units: Ints  # [units]
    activations: Ints  # [units x 4] ticks of the last four ACTs
    set_allowed: Ints  # [units x stack ids] first tick of the next round of per-bank refreshes
    slot_bank: Ints
    slot_row: Ints
    slot_column: Ints
    slot_line: Ints
    slot_write: Ints
    slot_arrival: Ints
    slot_transaction: Ints
    slot_request: Ints
    slot_counted: Ints
    free_slots: Ints
    read_slots: Ints
    read_keys: Ints
    write_slots: Ints
    write_keys: Ints
    active_slots: Ints
    priority_commands: Ints  # a ring
    priority_targets: Ints
    line_filter: Ints  # [FILTER] buffered writes by hash of their address
    constants: Ints
    rules: Ints  # [n, 3]
    first_rule: Ints
    waiting: Ints  # [n, BURST_FIELDS]
    transactions: Ints  # [n, TRANSACTION_FIELDS]
    completed: Ints  # [n, 2]
    commands: Ints  # [n, LOG_FIELDS]
    latencies: Ints  # [n]


def state_sizes(banks: int, units: int, stack_ids: int, read_queue: int, write_queue: int) -> list[int]:
    """Return the length of every view of the state array, in the order of `View`."""
    slots = read_queue + write_queue + banks + 2
    queues = [4 * read_queue] * 2 + [4 * write_queue] * 2
    per_bank = [banks] * 4
    per_unit = [units, units, 4 * units, units * stack_ids]
    return [
        *(SCALARS, STATISTICS, FOLLOWERS * banks + 1),
        *(per_bank + per_unit + [slots] * 10 + queues),
        *(banks + 1, PRIORITY, PRIORITY, FILTER),
    ]


@njit(nogil=True, cache=True)
def view_of(
    state: Ints,
    offsets: Ints,
    constants: Ints,
    rules: Ints,
    first_rule: Ints,
    waiting: Ints,
    transactions: Ints,
    completed: Ints,
    commands: Ints,
    latencies: Ints,
) -> View:
    """Return the named views of a state array; view i is state[offsets[i]:offsets[i + 1]]."""
    o = offsets
    return View(
        state[o[0] : o[1]],
        state[o[1] : o[2]],
        state[o[2] : o[3]],
        state[o[3] : o[4]],
        state[o[4] : o[5]],
        state[o[5] : o[6]],
        state[o[6] : o[7]],
        state[o[7] : o[8]],
        state[o[8] : o[9]],
        state[o[9] : o[10]],
        state[o[10] : o[11]],
        state[o[11] : o[12]],
        state[o[12] : o[13]],
        state[o[13] : o[14]],
        state[o[14] : o[15]],
        state[o[15] : o[16]],
        state[o[16] : o[17]],
        state[o[17] : o[18]],
        state[o[18] : o[19]],
        state[o[19] : o[20]],
        state[o[20] : o[21]],
        state[o[21] : o[22]],
        state[o[22] : o[23]],
        state[o[23] : o[24]],
        state[o[24] : o[25]],
        state[o[25] : o[26]],
        state[o[26] : o[27]],
        state[o[27] : o[28]],
        state[o[28] : o[29]],
        constants,
        rules,
        first_rule,
        waiting,
        transactions,
        completed,
        commands,
        latencies,
    )
