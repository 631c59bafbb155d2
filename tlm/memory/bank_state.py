"""The state of one banked channel: one flat array of int64, so that a copy of it is a snapshot.

The front holds scalars and statistics at fixed places; behind them lie the tables below, whose offsets stand in a
second array, the constants. Slots and keys are offsets in the state: `state[slot + SLOT_BANK]`, `state[key]`; 0 is no
slot. Ticks are absolute; `NEVER` is later than any tick. Numbers of banks are powers of two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tlm.memory.bank_rules import FOLLOWERS, RuleTable, column_delays
from tlm.memory.commands import DramCommand

Ints = NDArray[np.int64]

NEVER = 1 << 62

# Scalars, at the front of the state. Those of the write side follow those of the read side.
NOW, WRITE_MODE, REFRESH_TICK, REFRESH_CURSOR, REFRESH_LEFT, ROW_BUS_FREE, PAIR_TICK, PAIR_UNIT = range(8)
PAIR_BANK, CAS_SLOT, ACTIVATING_SLOT, ACTIVATING_DEADLINE, CLOCK_EXPIRY, OFFER_TICK = range(8, 14)
WAITING_HEAD, WAITING_TAIL, REQUESTS, READ_LENGTH, WRITE_LENGTH = range(14, 19)
ACTIVE_LENGTH, PRIORITY_HEAD, PRIORITY_LENGTH, FREE_LENGTH, NEXT_DUE, LOGGED, LAST_DATA, ADDED = range(19, 27)
LEADERS = 27  # four: how many of each side (times two) and kind

# Statistics, behind the scalars; then one counter for each command.
ROW_HITS, ROW_MISSES, ROW_CONFLICTS, READS, WRITES, FORWARDED_READS, COALESCED_WRITES = range(31, 38)
READ_LATENCY_SUM, READ_LATENCY_MIN, READ_LATENCY_MAX, WRITE_WAIT_SUM, READ_QUEUE_SUM = range(38, 43)
WRITE_QUEUE_SUM, LAST_ACCEPTED = range(43, 45)
COMMAND_COUNTS = 45
OFFERED = COMMAND_COUNTS + len(DramCommand)  # bursts taken in at the tick `OFFER_TICK`
FRONT = OFFERED + 1

# Constants of controller and standard.
BANKS, UNITS, BANKS_PER_UNIT, BANKS_PER_STACK, BANKS_PER_GROUP, READ_LATENCY, WRITE_LATENCY = range(7)
FAW_TICKS, DUAL_BUS, SPLIT_ACTIVATE, HALF_CLOCK, ACTIVATE_TICKS, ACTIVATE_DEADLINE = range(7, 13)
CLOCK_TAIL_READ, CLOCK_TAIL_WRITE, CLOCK_ALWAYS_ON, READ_QUEUE, WRITE_QUEUE, WRITE_HIGH = range(13, 19)
WRITE_LOW, OFFERS, ROW_HITS_FIRST, ROW_CAP, REFRESH_POLICY, REFRESH_INTERVAL = range(19, 25)
REFRESH_TOGETHER, REFRESH_SET_WAIT, LOG_COMMANDS, LATENCY_BINS, UNIT_BITS, REMEMBERS_ROWS = range(25, 31)

# Offsets of the state's tables, among the constants.
EARLIEST = 31  # [follower x banks + bank], for commands to units [follower x banks + unit]; then a cell NEVER
OPEN_ROW, BUSY, ACCESSES, INJECTED = range(32, 36)  # [bank]; requests that wait on the bank's row, accesses to it
OPEN_BANKS, BUSY_UNITS, ACTIVATIONS, SET_ALLOWED = range(36, 40)  # [unit]; ticks of 4 ACTs; rounds of REFPB
SLOTS, FREE_SLOTS = range(40, 42)
LIST_HEAD, LIST_TAIL = range(42, 44)  # [side x banks + bank] slots: the bank's requests in order of arrival
LEADER_SLOT, LEADER_PLACE = range(44, 46)  # [(2 x side + kind) x banks + bank] slot, and place of its key
LEADER_KEYS, LEADER_STEP = range(46, 48)  # [(2 x side + kind) x banks] keys; a step further slots, requests, banks
ACTIVE_ENTRIES, ACTIVE_KEYS = range(48, 50)  # slots; how far on their keys lie
PRIORITY_COMMANDS, PRIORITY_TARGETS, LINE_FILTER, LATENCIES, TRANSACTIONS = range(50, 55)
UNIT_FLOORS = 55  # [side x units + unit] before these ticks no column command comes in the unit
COLUMN_DELAYS = 56  # [side x COLUMN_FIELDS], of RD and WR
FIRST_RULE = 57  # where the rules of each command begin; the rules themselves follow

REFRESH_NONE, REFRESH_ALL_BANK, REFRESH_PER_BANK = range(3)

CLOSED, ACTIVATING = -1, -2
"""What `OPEN_ROW` holds where no row is open."""

SLOT_BANK, SLOT_ROW, SLOT_COLUMN, SLOT_LINE, SLOT_WRITE, SLOT_ARRIVAL = range(6)
SLOT_TRANSACTION, SLOT_REQUEST, SLOT_COUNTED, SLOT_NEXT, SLOT_BEFORE, SLOT_FIELDS = range(6, 12)

FILTER = 256  # buffered writes counted by a hash of their address
PRIORITY = 1024  # most maintenance commands that can wait

# Fields of a waiting burst, of a transaction and of a logged command.
LINE, BURST_BANK, BURST_ROW, BURST_COLUMN, BURST_WRITE, BURST_TRANSACTION, BURST_ARRIVAL, BURST_FIELDS = range(8)
TRANSACTION_ID, REMAINING, DONE_TICK, SEQUENCE, REPORTED, TRANSACTION_FIELDS = range(6)
LOG_TICK, LOG_COMMAND, LOG_BANK, LOG_ROW, LOG_COLUMN, LOG_REQUEST, LOG_FIELDS = range(7)


def new_state(constants: dict[int, int], stack_ids: int, table: RuleTable) -> tuple[Ints, Ints]:
    """Return (state, constants as an array with the offsets of the tables and the rules)."""
    banks, units = constants[BANKS], constants[UNITS]
    reads, writes = constants[READ_QUEUE], constants[WRITE_QUEUE]
    slots = reads + writes + banks + 2
    sizes = {
        EARLIEST: FOLLOWERS * banks + 1,
        **dict.fromkeys((OPEN_ROW, BUSY, ACCESSES, INJECTED), banks),
        **{OPEN_BANKS: units, BUSY_UNITS: units, ACTIVATIONS: 4 * units, SET_ALLOWED: units * stack_ids},
        **{SLOTS: slots * SLOT_FIELDS, FREE_SLOTS: slots},
        **{LIST_HEAD: 2 * banks, LIST_TAIL: 2 * banks, LEADER_SLOT: 4 * banks, LEADER_PLACE: 4 * banks},
        **{LEADER_KEYS: 4 * banks, LEADER_STEP: 12 * banks, ACTIVE_ENTRIES: banks + 1, ACTIVE_KEYS: banks + 1},
        **{PRIORITY_COMMANDS: PRIORITY, PRIORITY_TARGETS: PRIORITY, LINE_FILTER: FILTER},
        UNIT_FLOORS: 2 * units,
        **{LATENCIES: constants[LATENCY_BINS], TRANSACTIONS: 8 * TRANSACTION_FIELDS},
    }
    offset = FRONT
    for index, size in sizes.items():
        constants = {**constants, index: offset}
        offset += size
    state = np.zeros(offset, dtype=np.int64)
    distances = {LEADER_STEP: 4 * banks, ACTIVE_KEYS: banks + 1}
    for scalar in (CAS_SLOT, ACTIVATING_SLOT, PAIR_TICK, OFFER_TICK):
        state[scalar] = -1
    for scalar in (NEXT_DUE, READ_LATENCY_MIN):
        state[scalar] = NEVER
    state[REFRESH_TICK] = constants[REFRESH_INTERVAL]
    state[FREE_LENGTH] = slots
    state[constants[OPEN_ROW] - 1] = NEVER
    state[constants[OPEN_ROW] : constants[BUSY]] = CLOSED
    state[constants[ACTIVATIONS] : constants[SET_ALLOWED]] = -1
    state[constants[FREE_SLOTS] : constants[LIST_HEAD]] = constants[SLOTS] + SLOT_FIELDS * np.arange(slots)
    state[constants[TRANSACTIONS] :: TRANSACTION_FIELDS] = -1
    return state, _constants_array({**constants, **distances}, table)


def _constants_array(constants: dict[int, int], table: RuleTable) -> Ints:
    first = FIRST_RULE + len(DramCommand) + 1
    delays, complete = column_delays(table)
    array = np.zeros(first + table.rules.size + delays.size, dtype=np.int64)
    for index, value in constants.items():
        array[index] = value
    array[FAW_TICKS] = table.faw_ticks
    array[FIRST_RULE:first] = first + 3 * table.first
    rules = table.rules.copy()
    rules[:, 0] = constants[EARLIEST] + rules[:, 0] * constants[BANKS]
    array[first : first + rules.size] = rules.ravel()
    array[COLUMN_DELAYS] = first + rules.size
    array[first + rules.size :] = delays.ravel()
    array[REMEMBERS_ROWS] &= complete
    return array
