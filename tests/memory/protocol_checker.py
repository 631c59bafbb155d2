"""Replays a log of DRAM commands against the rules of its standard: slow, plain, apart from the controller's kernel.

Beside the table of rules it follows the rows, the buses, the data and the requests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tests.memory.protocol_rules import (
    ACCESSES,
    PRECHARGES,
    SCOPE_LEVELS,
    WRITES,
    Command,
    Place,
    Request,
    Rule,
    Standard,
)

REMEMBERED = 8
"""Commands kept per rule and place: four for the window of four, and those between two stacks."""


@dataclass(frozen=True)
class Violation:
    """A broken rule, and the command that breaks it."""

    rule: str
    command: Command | None
    text: str = ""


@dataclass
class Bank:
    """The open row, None while closed; in LPDDR5 an ACT that still waits for its ACT2."""

    row: int | None = None
    act_without_act2: Command | None = None


@dataclass
class Checker:
    """Takes the commands of one channel in order and collects what is wrong with them."""

    standard: Standard
    requests: Sequence[Request]
    idle_precharges: bool = False
    violations: list[Violation] = field(default_factory=list)
    history: list[Command] = field(default_factory=list)
    banks: dict[Place, Bank] = field(default_factory=lambda: defaultdict(Bank))
    served: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    served_last: dict[int, int] = field(default_factory=dict)
    bus_free: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    data_free: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    merged: list[int] = field(default_factory=lambda: [0, 0])
    wck_until: int = 0
    last_data_tick: int = 0

    def __post_init__(self) -> None:
        self._latest: dict[tuple[str, Place], list[Command]] = defaultdict(list)
        self._rules_after: dict[str, list[Rule]] = defaultdict(list)
        self._rules_before: dict[str, list[Rule]] = defaultdict(list)
        for rule in self.standard.rules:
            for kind in rule.after:
                self._rules_after[kind].append(rule)
            for kind in rule.before:
                self._rules_before[kind].append(rule)

    def broken(self, rule: str, command: Command | None, text: str = "") -> None:
        """Note a violation."""
        self.violations.append(Violation(rule, command, text))

    def take(self, command: Command) -> None:
        """Check one command against everything before it."""
        if self.history and command.tick < self.history[-1].tick:
            self.broken("order of the log", command)
        self.check_bus(command)
        self.check_rules(command)
        self.check_state(command)
        if command.kind in ACCESSES:
            self.check_access(command)
        self.history.append(command)

    def check_bus(self, command: Command) -> None:
        """One command at a time on each bus, for as long as it takes; only a PRE may start half a clock later."""
        if (command.tick - 1) % self.standard.clock and command.kind not in PRECHARGES:
            self.broken("half a clock", command)
        bus = self.standard.bus(command.kind)
        if command.tick < self.bus_free[bus]:
            self.broken(f"{bus} bus", command)
        self.bus_free[bus] = max(self.bus_free[bus], command.tick + self.standard.length(command.kind))

    def check_rules(self, command: Command) -> None:
        """Every rule of the table in which this command comes second; then remember it where it comes first."""
        now = self.standard.last_tick(command)
        for rule in self._rules_after[command.kind]:
            earlier = self._latest[rule.name, command.place[: SCOPE_LEVELS[rule.scope]]]
            if rule.scope == "other stack":
                earlier = [other for other in earlier if other.place[1] != command.place[1]]
            if len(earlier) >= rule.count:
                waited = now - self.standard.last_tick(earlier[-rule.count])
                if waited < rule.ticks:
                    self.broken(rule.name, command, f"{waited} ticks, at least {rule.ticks}")
        for rule in self._rules_before[command.kind]:
            latest = self._latest[rule.name, command.place[: SCOPE_LEVELS[rule.scope]]]
            latest.append(command)
            del latest[:-REMEMBERED]

    def check_state(self, command: Command) -> None:
        """Rows are opened in closed banks, closed where they are open, and refreshed where nothing is."""
        follow = {
            "ACT": self.follow_act,
            "ACT2": self.follow_act2,
            "PRE": self.follow_pre,
            "PREab": self.follow_preab,
            "REFpb": self.follow_refpb,
            "REFab": self.follow_refab,
        }.get(command.kind)
        if follow:
            follow(command, self.banks[command.place])
        elif command.kind not in (*ACCESSES, "CAS"):
            self.broken("unknown command", command)

    def follow_act(self, command: Command, bank: Bank) -> None:
        if bank.row is not None:
            self.broken("ACT in an open bank", command)
        bank.row = command.row
        if self.standard.act2_within:
            if any(other.act_without_act2 for other in self.banks.values()):
                self.broken("ACT before the ACT2 of another", command)
            bank.act_without_act2 = command

    def follow_act2(self, command: Command, bank: Bank) -> None:
        first = bank.act_without_act2
        if first is None or first.row != command.row:
            self.broken("ACT2 without its ACT", command)
        elif command.tick - first.tick > self.standard.act2_within:
            self.broken("ACT2 too late (nAAD)", command)
        bank.act_without_act2 = None

    def follow_pre(self, command: Command, bank: Bank) -> None:
        if bank.row is None and not self.idle_precharges:
            self.broken("PRE of a closed bank", command)
        self.close(command, bank)

    def follow_preab(self, command: Command, _: Bank) -> None:
        for bank in self.banks_of_rank(command):
            self.close(command, bank)

    def follow_refpb(self, command: Command, bank: Bank) -> None:
        if bank.row is not None:
            self.broken("REFpb of an open bank", command)

    def follow_refab(self, command: Command, _: Bank) -> None:
        if any(bank.row is not None for bank in self.banks_of_rank(command)):
            self.broken("REFab with an open bank", command)

    def banks_of_rank(self, command: Command) -> list[Bank]:
        """Return the banks that a command to all banks means."""
        return [bank for place, bank in self.banks.items() if place[0] == command.place[0]]

    def close(self, command: Command, bank: Bank) -> None:
        """Close a bank's row, which must have been opened to the end."""
        if bank.act_without_act2:
            self.broken("PRE between ACT and ACT2", command)
        bank.row, bank.act_without_act2 = None, None

    def check_access(self, command: Command) -> None:
        """A read or write finds its row open, the clock of the data running and the data bus free."""
        bank = self.banks[command.place]
        if bank.act_without_act2:
            self.broken("access before ACT2", command)
        if bank.row is None or bank.row != command.row:
            self.broken("access to a row that is not open", command)
        if not 0 <= command.request < len(self.requests):
            self.broken("access without a request", command)
        else:
            request = self.requests[command.request]
            asked = (request.is_write, request.place, request.row, request.column)
            if asked != (command.kind in WRITES, command.place, command.row, command.column):
                self.broken("access that is not what was asked for", command)
            self.served[command.request] += 1
            self.served_last[command.request] = len(self.history)
        latency = self.standard.write_latency if command.kind in WRITES else self.standard.read_latency
        self.check_wck(command, latency)
        start = command.tick + latency
        if start < self.data_free[command.place[0]]:
            self.broken("data bus", command)
        self.data_free[command.place[0]] = start + self.standard.burst
        self.last_data_tick = max(self.last_data_tick, start + self.standard.burst)
        if command.kind in ("RDA", "WRA"):
            self.close(command, bank)

    def check_wck(self, command: Command, latency: int) -> None:
        """LPDDR5: the data clock runs on behind each burst; once lapsed, a CAS right before the access restarts it."""
        if self.standard.wck_after and not self.standard.wck_always_on:
            synchronised = bool(self.history) and self.history[-1].kind == "CAS"
            if command.tick >= self.wck_until and not synchronised:
                self.broken("WCK has lapsed", command)
            self.wck_until = max(self.wck_until, command.tick + latency + self.standard.burst + self.standard.wck_after)

    def finish(self, refresh: str) -> None:
        """Each request served exactly once, and every due refresh given; `refresh` is all_bank, per_bank or none.

        A burst written before need not go to the DRAM again while that write waits; `merged` counts reads and writes
        of this kind. Reads and writes of a burst come behind the writes before them. (A write may overtake a read: the
        model moves no data, and the reference simulator does not look.)
        """
        written: dict[Request, int] = {}
        for index, request in enumerate(self.requests):
            write = written.get(replace(request, is_write=True))
            merged = self.served[index] == 0 and write is not None
            if self.served[index] != 1 and not merged:
                self.broken("each request served exactly once", None, f"request {index}: {self.served[index]} times")
            self.merged[request.is_write] += merged
            at = self.served_last.get(index)
            if write is not None and at is not None and at < self.served_last.get(write, at):
                self.broken("access before an earlier write of its burst", None, f"request {index}, write {write}")
            if request.is_write and at is not None:
                written[request] = index
        if refresh == "all_bank":
            self.check_refreshes()

    def check_refreshes(self) -> None:
        """The n-th refresh of a rank comes in the n-th interval, counted from 1."""
        interval = self.standard.refresh_interval
        given: dict[int, int] = defaultdict(int)
        for command in self.history:
            if command.kind == "REFab":
                given[command.place[0]] += 1
                due = given[command.place[0]] * interval
                if not due <= command.tick < due + interval:
                    self.broken("REFab out of its interval (nREFI)", command)
        end = self.history[-1].tick if self.history else 0
        for rank in {command.place[0] for command in self.history}:
            if given[rank] < end // interval - 1:
                self.broken("REFab missing", None, f"rank {rank}: {given[rank]} in {end} ticks")


def check(
    standard: Standard,
    commands: Iterable[Command],
    requests: Sequence[Request],
    refresh: str = "all_bank",
    idle_precharges: bool = False,
) -> Checker:
    """Check the whole log of one channel; the result's `violations` is empty if all is well.

    A PRE of a closed bank does nothing; it is a violation unless `idle_precharges` says that the policy may send it.
    """
    checker = Checker(standard, requests, idle_precharges)
    for command in commands:
        checker.take(command)
    checker.finish(refresh)
    return checker
