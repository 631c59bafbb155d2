"""One banked channel behind a controller: bursts in, completed transactions out; its state is kept between calls."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rtl_models.errors import InputError
from tlm.memory import bank_state as b
from tlm.memory.bank_kernel import LOG_FULL, REFRESH_OVERDUE, RUN, RUN_TO_COMPLETION, RUN_TO_IDLE, advance
from tlm.memory.bank_rules import rule_table
from tlm.memory.commands import COMMAND_RECORD, DramCommand
from tlm.memory.mapping import MAPPINGS, address_mapping
from tlm.memory.standard import DramStandard

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_FOREVER = b.NEVER - 1
_LATENCY_BINS = 1 << 16
_REFRESH = {"none": b.REFRESH_NONE, "all_bank": b.REFRESH_ALL_BANK, "per_bank": b.REFRESH_PER_BANK}


@dataclass(frozen=True)
class ControllerConfig:
    """How a channel is driven.

    - `scheduler`: FRFCFS takes whatever is legal first, then the older; FRFCFSRowHit also holds back a precharge while
      an older or equally old request hits the row
    - `row_policy` closed: a row is closed after `row_cap` column commands, with the next one or by a precharge
    - write mode: on when more than `write_high` of the write queue is filled or no read waits; off when less than
      `write_low` is filled and a read waits
    - `offers_per_cycle`: bursts offered to the queues before each cycle; 0: until one is refused
    - `pseudo_channels`: instead of the standard's number; addresses beyond the smaller capacity wrap around
    - `data_clock_always_on`: LPDDR5's WCK never stops, so that no CAS is needed
    """

    mapping: str = "RoBaRaCoCh"
    scheduler: Literal["FRFCFS", "FRFCFSRowHit"] = "FRFCFS"
    row_policy: Literal["open", "closed"] = "open"
    row_cap: int = 4
    refresh: Literal["all_bank", "per_bank", "none"] = "all_bank"
    read_queue: int = 32
    write_queue: int = 32
    write_high: float = 0.8
    write_low: float = 0.2
    offers_per_cycle: int = 0
    pseudo_channels: int | None = None
    data_clock_always_on: bool = False

    def __post_init__(self) -> None:
        choices = {
            "mapping": MAPPINGS,
            "scheduler": ("FRFCFS", "FRFCFSRowHit"),
            "row_policy": ("open", "closed"),
            "refresh": tuple(_REFRESH),
        }
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise InputError("unknown choice", f"controller: {key}", getattr(self, key), ", ".join(allowed))
        for key, least in (("row_cap", 1), ("read_queue", 1), ("write_queue", 1), ("offers_per_cycle", 0)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError("must be a whole number", f"controller: {key}", value, f"{least} or more")
        if not 0 <= self.write_low <= self.write_high <= 1:
            raise InputError(
                "must be 0 <= write_low <= write_high <= 1", "controller", (self.write_low, self.write_high)
            )


_BASE = ControllerConfig()
CONTROLLERS: dict[str, ControllerConfig] = {
    "base": _BASE,
    "norefresh": replace(_BASE, refresh="none"),
    "mop4clxor": replace(_BASE, mapping="MOP4CLXOR"),
    "mop4clxor_noref": replace(_BASE, mapping="MOP4CLXOR", refresh="none"),
    "rowhit_sched": replace(_BASE, scheduler="FRFCFSRowHit"),
    "rowhit_mop": replace(_BASE, scheduler="FRFCFSRowHit", mapping="MOP4CLXOR"),
    "rowhit_noref": replace(_BASE, scheduler="FRFCFSRowHit", refresh="none"),
    "chrabaroco": replace(_BASE, mapping="ChRaBaRoCo"),
    "closed_cap4": replace(_BASE, row_policy="closed", row_cap=4),
    "queue8": replace(_BASE, read_queue=8, write_queue=8),
    "queue64": replace(_BASE, read_queue=64, write_queue=64),
    "send1": replace(_BASE, offers_per_cycle=1),
    "hbm2_pc1": replace(_BASE, pseudo_channels=1),
    "hbm3_perbank_ref": replace(_BASE, refresh="per_bank"),
    "lpddr5_wck_on": replace(_BASE, data_clock_always_on=True),
}
"""Controllers by name; the names are those of the reference's configurations."""


@dataclass(frozen=True)
class ChannelStatistics:
    """Counts since the channel was made; latencies in ticks, from acceptance into a queue to the last data beat."""

    row_hits: int
    row_misses: int
    row_conflicts: int
    reads: int
    writes: int
    forwarded_reads: int
    coalesced_writes: int
    read_latency_sum: int
    read_latency_min: int
    read_latency_max: int
    write_wait_sum: int
    read_queue_sum: int
    write_queue_sum: int
    last_accepted: int
    commands: dict[str, int]


class DramChannel:
    """One channel with its state.

    `completed` receives (transaction, tick): a transaction is complete with the last data beat of its last read, its
    writes when the last has been accepted into the write queue. The caller takes entries away as it likes.
    """

    def __init__(
        self,
        standard: DramStandard,
        controller: ControllerConfig,
        log_commands: bool = False,
        log_latencies: bool = False,
    ) -> None:
        """Raises InputError if the controller asks for what the standard does not have."""
        self.standard = standard
        self.controller = controller
        self.modelled = modelled = modelled_standard(standard, controller)  # with the controller's pseudo-channels
        self._organisation = modelled.organisation
        self._mapping = address_mapping(controller.mapping, modelled.organisation, standard.burst_bytes)
        self._state, self._constants = idle_channel(modelled, controller, log_commands, log_latencies)
        self._waiting = np.zeros((64, b.BURST_FIELDS), dtype=np.int64)
        self._log = np.zeros((1024 if log_commands else 0, b.LOG_FIELDS), dtype=np.int64)
        self.completed: list[tuple[int, int]] = []

    @property
    def now(self) -> int:
        """The last tick that has been simulated."""
        return int(self._state[b.NOW])

    @property
    def idle(self) -> bool:
        """Whether no burst waits, is queued or has its row open for it; data may still be on the bus."""
        s = self._state
        queued = s[b.READ_LENGTH] + s[b.WRITE_LENGTH] + s[b.ACTIVE_LENGTH]
        return bool(queued == 0 and s[b.WAITING_HEAD] == s[b.WAITING_TAIL] and s[b.ACTIVATING_SLOT] < 0)

    @property
    def idle_tick(self) -> int | None:
        """The tick in which the last data beat leaves the bus; None while bursts are still waiting."""
        return int(self._state[b.LAST_DATA]) if self.idle else None

    def add(self, addresses: IntArray, is_write: BoolArray | bool, transaction: int, arrival_tick: int) -> None:
        """Append bursts (byte addresses within the channel) of a transaction behind those already waiting.

        They arrive at the end of `arrival_tick`, which is not before the ticks simulated nor before earlier arrivals.
        A transaction may be added in parts as long as it is not complete; its number is not negative. Raises
        InputError for addresses beyond the capacity or not a multiple of the burst.
        """
        if transaction < 0:
            raise InputError("a transaction's number is negative", "transaction", transaction, "0 or more")
        addresses = np.ascontiguousarray(addresses, dtype=np.int64)
        if not len(addresses):
            raise InputError("a transaction without bursts", f"transaction {transaction}")
        self._check_addresses(addresses)
        s = self._state
        head, tail = int(s[b.WAITING_HEAD]), int(s[b.WAITING_TAIL])
        before = int(self._waiting[tail - 1, b.BURST_ARRIVAL]) if tail > head else 0
        if arrival_tick < max(self.now, before):
            raise InputError(
                "arrives in the past", f"transaction {transaction}", arrival_tick, f"{max(self.now, before)} or later"
            )
        if tail + len(addresses) > len(self._waiting):
            self._move_waiting(head, tail, len(addresses))
            head, tail = 0, tail - head
        new = self._waiting[tail : tail + len(addresses)]
        self._mapping.decode_into(addresses, new)  # LINE, BURST_BANK, BURST_ROW, BURST_COLUMN
        new[:, b.BURST_WRITE] = is_write
        new[:, b.BURST_TRANSACTION] = self._open_transaction(transaction, len(addresses))
        s = self._state
        new[:, b.BURST_ARRIVAL] = arrival_tick
        s[b.WAITING_TAIL] = tail + len(addresses)

    def _check_addresses(self, addresses: IntArray) -> None:
        burst, capacity = self.standard.burst_bytes, self.standard.capacity_bytes
        outside = (addresses < 0) | (addresses >= capacity)
        if outside.any():
            got = hex(int(addresses[int(outside.argmax())]))
            raise InputError("address beyond the channel's capacity", "address", got, f"below {hex(capacity)}")
        unaligned = (addresses & (burst - 1)) != 0
        if unaligned.any():
            got = hex(int(addresses[int(unaligned.argmax())]))
            raise InputError("address is not a multiple of the burst", "address", got, f"multiples of {burst} bytes")

    def _move_waiting(self, head: int, tail: int, more: int) -> None:
        """Put the waiting bursts into a new array, with room for `more`."""
        rows = max(tail - head + more, 2 * (tail - head) + 64)
        waiting = np.empty((rows, b.BURST_FIELDS), dtype=np.int64)
        waiting[: tail - head] = self._waiting[head:tail]
        s = self._state
        s[b.WAITING_HEAD], s[b.WAITING_TAIL] = 0, tail - head
        self._waiting = waiting

    def _transactions(self) -> IntArray:
        return self._state[self._constants[b.TRANSACTIONS] :].reshape(-1, b.TRANSACTION_FIELDS)

    def _open_transaction(self, transaction: int, bursts: int) -> int:
        """Return the offset of a transaction's record in the state, with `bursts` more to come."""
        t = self._transactions()
        known = np.flatnonzero(t[:, b.TRANSACTION_ID] == transaction)
        if len(known):
            t[known[0], b.REMAINING] += bursts
            index = int(known[0])
        else:
            free = np.flatnonzero(t[:, b.TRANSACTION_ID] < 0)
            if not len(free):
                self._state = np.concatenate([self._state, np.full(t.size, -1, dtype=np.int64)])
                free, t = np.array([len(t)]), self._transactions()
            index = int(free[0])
            t[index] = transaction, bursts, 0, self._state[b.ADDED], 0
            self._state[b.ADDED] += 1
        return int(self._constants[b.TRANSACTIONS]) + index * b.TRANSACTION_FIELDS

    def run(self, until_tick: int, stop_at_completion: bool = False) -> int:
        """Advance up to and including `until_tick`, or to the tick in which a transaction became complete."""
        return self._advance(until_tick, RUN_TO_COMPLETION if stop_at_completion else RUN)

    def run_until_idle(self) -> int:
        """Advance until every burst has been served and its data has left the bus."""
        return self._advance(_FOREVER, RUN_TO_IDLE)

    def _advance(self, until_tick: int, mode: int) -> int:
        status = LOG_FULL
        while status == LOG_FULL:
            status = advance(self._state[None], self._constants, self._waiting[None], self._log, until_tick, mode)
            if status == LOG_FULL:
                self._log = np.concatenate([self._log, np.zeros_like(self._log)])
        t = self._transactions()
        done = np.flatnonzero(t[:, b.REPORTED] > 0)
        if len(done):
            order = done[np.lexsort((t[done, b.SEQUENCE], t[done, b.DONE_TICK]))]
            self.completed += [(int(t[i, b.TRANSACTION_ID]), int(t[i, b.DONE_TICK])) for i in order]
            t[done] = -1
        check_refreshes(status, self.standard)
        return self.now

    @property
    def statistics(self) -> ChannelStatistics:
        """Counts since the channel was made."""
        return channel_statistics(self._state)

    @property
    def latencies(self) -> IntArray:
        """Reads by latency in ticks (the last bin: that or more), if logged; else empty."""
        first = self._constants[b.LATENCIES]
        return self._state[first : first + self._constants[b.LATENCY_BINS]]

    @property
    def commands(self) -> NDArray[np.void]:
        """Every command so far as `COMMAND_RECORD`s, if logged."""
        log = self._log[: self._state[b.LOGGED]]
        organisation = self._organisation
        records = np.full(len(log), -1, dtype=COMMAND_RECORD)
        for name, column in (("tick", b.LOG_TICK), ("command", b.LOG_COMMAND), ("row", b.LOG_ROW)):
            records[name] = log[:, column]
        records["column"], records["request"] = log[:, b.LOG_COLUMN], log[:, b.LOG_REQUEST]
        bank = log[:, b.LOG_BANK]
        records["unit"] = bank // organisation.banks_per_unit
        to_bank = ~np.isin(log[:, b.LOG_COMMAND], (DramCommand.PREAB, DramCommand.REFAB))
        groups, banks = organisation.bank_groups, organisation.banks_per_group
        for name, number in (
            ("stack_id", bank % organisation.banks_per_unit // (groups * banks)),
            ("group", bank // banks % groups),
            ("bank", bank % banks),
        ):
            records[name][to_bank] = number[to_bank]
        return records


def check_refreshes(status: int, standard: DramStandard) -> None:
    """Raise InputError where the loop has stopped because refreshes pile up."""
    if status == REFRESH_OVERDUE:
        raise InputError("refreshes come faster than they can be done", f"{standard.name}: nREFI")


def channel_statistics(state: IntArray) -> ChannelStatistics:
    """Return the counts that stand in a channel's state."""
    values = state[b.ROW_HITS : b.OFFERED].tolist()
    names = [field.name for field in fields(ChannelStatistics)][:-1]
    counts = dict(zip((command.name for command in DramCommand), values[b.COMMAND_COUNTS - b.ROW_HITS :], strict=True))
    numbers: dict[str, Any] = dict(zip(names, values, strict=False))
    if numbers["read_latency_min"] == b.NEVER:
        numbers["read_latency_min"] = 0
    return ChannelStatistics(**numbers, commands=counts)


def idle_channel(
    modelled: DramStandard, controller: ControllerConfig, log_commands: bool = False, log_latencies: bool = False
) -> tuple[IntArray, IntArray]:
    """Return (state, constants) of a channel of a `modelled_standard` at tick 0."""
    constants = _constants(modelled, controller)
    constants |= {b.LOG_COMMANDS: log_commands, b.LATENCY_BINS: _LATENCY_BINS if log_latencies else 0}
    return b.new_state(constants, modelled.organisation.stack_ids, rule_table(modelled))


def modelled_standard(standard: DramStandard, controller: ControllerConfig) -> DramStandard:
    """Return the standard as the controller uses it; InputError if it asks for what the standard does not have."""
    family = standard.rules
    if controller.refresh == "per_bank" and not family.per_bank_refresh:
        raise InputError("has no per-bank refresh", standard.name, controller.refresh, "all_bank, none")
    if controller.data_clock_always_on and not family.split_activate:
        raise InputError("has no data clock that stops", standard.name, "data_clock_always_on", "LPDDR5")
    if controller.pseudo_channels is None:
        return standard
    units = standard.organisation.units
    if family.units != "pseudo_channels" or not 1 <= controller.pseudo_channels <= units:
        allowed = f"1 to {units}" if family.units == "pseudo_channels" else "HBM2, HBM3"
        raise InputError("no such number of pseudo-channels", standard.name, controller.pseudo_channels, allowed)
    return standard.with_units(controller.pseudo_channels)


def _constants(standard: DramStandard, controller: ControllerConfig) -> dict[int, int]:
    t, family, organisation = standard.timings, standard.rules, standard.organisation
    ticks = family.ticks_per_clock
    interval = t["nREFIpb"] if controller.refresh == "per_bank" else t["nREFI"]
    high = Fraction(str(controller.write_high)) * controller.write_queue
    low = Fraction(str(controller.write_low)) * controller.write_queue
    return {
        b.BANKS: organisation.banks,
        b.UNITS: organisation.units,
        b.BANKS_PER_UNIT: organisation.banks_per_unit,
        b.UNIT_BITS: organisation.banks_per_unit.bit_length() - 1,
        b.BANKS_PER_STACK: organisation.bank_groups * organisation.banks_per_group,
        b.BANKS_PER_GROUP: organisation.banks_per_group,
        b.READ_LATENCY: standard.read_latency_ticks,
        b.WRITE_LATENCY: standard.write_latency_ticks,
        b.DUAL_BUS: family.dual_command_bus,
        b.SPLIT_ACTIVATE: family.split_activate,
        b.HALF_CLOCK: family.half_clock_precharge,
        b.ACTIVATE_TICKS: family.activate_ticks,
        b.ACTIVATE_DEADLINE: t.get("nAAD", 0),
        b.CLOCK_TAIL_READ: t["nCL"] + t["nBL"] + t.get("nWCKPST", 0),
        b.CLOCK_TAIL_WRITE: t["nCWL"] + t["nBL"] + t.get("nWCKPST", 0),
        b.CLOCK_ALWAYS_ON: controller.data_clock_always_on or not family.split_activate,
        b.READ_QUEUE: controller.read_queue,
        b.WRITE_QUEUE: controller.write_queue,
        b.WRITE_HIGH: int(high),
        b.WRITE_LOW: -int(-low // 1),
        b.OFFERS: controller.offers_per_cycle,
        b.ROW_HITS_FIRST: controller.scheduler == "FRFCFSRowHit",
        b.ROW_CAP: controller.row_cap if controller.row_policy == "closed" else 0,
        b.REFRESH_POLICY: _REFRESH[controller.refresh],
        b.REFRESH_INTERVAL: interval * ticks,
        b.REMEMBERS_ROWS: family.dual_command_bus
        and not family.half_clock_precharge
        and (controller.scheduler, controller.row_policy) == ("FRFCFS", "open"),
        b.REFRESH_TOGETHER: family.refreshes_units_together,
        b.REFRESH_SET_WAIT: t.get("nRFCpb", 0) * ticks,
    }
