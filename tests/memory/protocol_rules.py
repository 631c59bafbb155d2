"""DRAM standards as the protocol checker sees them: every rule between two commands is one entry of a table.

The timings come from the reference's own table (dram_timings.json); the rules are those of JESD79-4 (DDR4), JESD209-5
(LPDDR5), JESD235 (HBM2) and JESD238 (HBM3) as far as the reference simulator has them. A command that holds its bus for
several ticks counts from its last one, before and after.

Times are ticks: clocks, or half clocks in HBM3.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tlm.memory.reference import TIMINGS_JSON

Place = tuple[int, ...]

READS, WRITES = ("RD", "RDA"), ("WR", "WRA")
ACCESSES = READS + WRITES
PRECHARGES = ("PRE", "PREab")


@dataclass(frozen=True)
class Command:
    """One command: tick of its first cycle, kind, where it goes, and the request it serves (-1: none).

    `place` is (rank or pseudo-channel, stack id, bank group, bank); a command to all banks uses the first of it only.
    Kinds are ACT (LPDDR5: ACT-1), ACT2, PRE, PREab, RD, WR, RDA and WRA (which close the row), CAS, REFab and REFpb.
    """

    tick: int
    kind: str
    place: Place
    row: int = -1
    column: int = -1
    request: int = -1


@dataclass(frozen=True)
class Request:
    """What the trace asks for."""

    is_write: bool
    place: Place
    row: int
    column: int


@dataclass(frozen=True)
class Rule:
    """At least `ticks` between the `count`-th last of the `before` commands and each of the `after` commands.

    Both lie in the same `scope`: rank (a pseudo-channel counts as one), stack, group or bank; "other stack" means one
    rank, but different stack ids.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    scope: str
    ticks: int
    count: int = 1


SCOPE_LEVELS = {"rank": 1, "other stack": 1, "stack": 2, "group": 3, "bank": 4}


@dataclass(frozen=True)
class Standard:
    """A standard as the checker sees it; lengths and times in ticks."""

    name: str
    rules: tuple[Rule, ...]
    clock: int
    lengths: dict[str, int]
    two_buses: bool
    read_latency: int
    write_latency: int
    burst: int
    refresh_interval: int
    address_fields: tuple[tuple[str, int, int], ...]
    act2_within: int = 0
    wck_after: int = 0
    wck_always_on: bool = False

    def length(self, kind: str) -> int:
        """Ticks for which a command holds its bus."""
        return self.lengths.get(kind, self.clock)

    def last_tick(self, command: Command) -> int:
        """Tick from which, and to which, the rules count."""
        return command.tick + self.length(command.kind) - 1

    def bus(self, kind: str) -> str:
        """Name of the bus that carries a command."""
        return "column" if self.two_buses and kind in ACCESSES else "row"

    def decode(self, address: int, is_write: bool) -> Request:
        """Return where an address lies (RoBaRaCoCh)."""
        fields = {name: (address >> lsb) & ((1 << width) - 1) for name, lsb, width in self.address_fields}
        rank = fields.get("rank", fields.get("pseudochannel", 0))
        place = (rank, fields.get("sid", 0), fields["bankgroup"], fields["bank"])
        return Request(is_write, place, fields["row"], fields["column (in bursts)"])


def load(name: str, wck_always_on: bool = False, changes: Mapping[str, int] | None = None) -> Standard:
    """Return one of the reference's standards; `changes` are timings, in clocks, other than the table's."""
    table = json.loads(TIMINGS_JSON.read_text(encoding="utf-8"))["standards"][name]
    clock = table["simulated_ticks_per_CK"]
    n = {key: clock * value for key, value in (table["timings_in_CK"] | (changes or {})).items()}
    burst = n.get("nBL", n.get("nBL_min", 0))
    lengths = {
        "HBM2": {"ACT": 2},
        "HBM3": {"ACT": 3, "PRE": 1, "PREab": 1, "REFab": 1, "REFpb": 1},  # 1.5 and 0.5 clocks
    }
    return Standard(
        name=name,
        rules=tuple(rules(name, n, clock)),
        clock=clock,
        lengths=lengths.get(name, {}),
        two_buses=name.startswith("HBM"),
        read_latency=n["nCL"],
        write_latency=n["nCWL"],
        burst=burst,
        refresh_interval=n["nREFI"],
        address_fields=tuple(
            (bits["field"], bits["lsb"], bits["width"]) for bits in table["address_mapping"]["bits_lsb_first"]
        ),
        act2_within=n.get("nAAD", 0),
        wck_after=n.get("nWCKPST", 0),
        wck_always_on=wck_always_on,
    )


def rules(name: str, n: Mapping[str, int], clock: int) -> Iterable[Rule]:
    """Give every rule between two commands; `n` holds the timings in ticks."""
    burst = n.get("nBL", n.get("nBL_min", 0))
    burst_in_group = n.get("nBL", n.get("nBL_max", 0))
    read_to_precharge = n["nRTPL"] if name == "HBM2" else n["nRTP"]
    write_to_precharge = n["nCWL"] + burst + n["nWR"]
    read_to_write = n["nRTW"] if name == "HBM3" else n["nCL"] + burst + 2 * clock - n["nCWL"]

    yield Rule("ACT-ACT, one bank (nRC)", ("ACT",), ("ACT",), "bank", n["nRC"])
    yield Rule("ACT-RD (nRCD)", ("ACT",), READS, "bank", n["nRCDRD"] if "nRCDRD" in n else n["nRCD"])
    yield Rule("ACT-WR (nRCD)", ("ACT",), WRITES, "bank", n["nRCDWR"] if "nRCDWR" in n else n["nRCD"])
    yield Rule("ACT-PRE (nRAS)", ("ACT",), ("PRE",), "bank", n["nRAS"])
    yield Rule("PRE-ACT (nRP)", ("PRE",), ("ACT",), "bank", n["nRP"])
    yield Rule("RD-PRE (nRTP)", ("RD",), ("PRE",), "bank", read_to_precharge)
    yield Rule("WR-PRE (nWR)", ("WR",), ("PRE",), "bank", write_to_precharge)

    yield Rule("ACT-ACT, rank (nRRDS)", ("ACT",), ("ACT",), "rank", n["nRRDS"])
    yield Rule("ACT-ACT, group (nRRDL)", ("ACT",), ("ACT",), "group", n["nRRDL"])
    yield Rule("four ACT (nFAW)", ("ACT",), ("ACT",), "rank", n["nFAW"], count=4)

    for accesses, suffix in ((READS, ""), (WRITES, "_WR" if name == "LPDDR5" else "")):
        kind, short, long = accesses[0], n[f"nCCDS{suffix}"], n[f"nCCDL{suffix}"]
        if name == "HBM3":
            yield Rule(f"{kind}-{kind}, stack (nCCDS)", accesses, accesses, "stack", short)
        else:
            yield Rule(f"{kind}-{kind}, rank (nCCDS)", accesses, accesses, "rank", short)
        yield Rule(f"{kind}-{kind}, group (nCCDL)", accesses, accesses, "group", long)
    if name == "HBM3":
        yield Rule("RD-RD, other stack (nCCDR)", READS, READS, "other stack", n["nCCDR"])
    yield Rule("RD-WR", READS, WRITES, "rank", read_to_write)
    yield Rule("WR-RD, rank (nWTRS)", WRITES, READS, "rank", n["nCWL"] + burst + n["nWTRS"])
    yield Rule("WR-RD, group (nWTRL)", WRITES, READS, "group", n["nCWL"] + burst_in_group + n["nWTRL"])

    for before, ticks in (("RDA", read_to_precharge + n["nRP"]), ("WRA", write_to_precharge + n["nRP"])):
        yield Rule(f"{before}-ACT (nRP)", (before,), ("ACT",), "bank", ticks)
        yield Rule(f"{before}-REFab (nRP)", (before,), ("REFab",), "rank", ticks)
        if "nRFCpb" in n:
            yield Rule(f"{before}-REFpb (nRP)", (before,), ("REFpb",), "bank", ticks)

    yield Rule("ACT-PREab (nRAS)", ("ACT",), ("PREab",), "rank", n["nRAS"])
    yield Rule("RD-PREab (nRTP)", ("RD",), ("PREab",), "rank", read_to_precharge)
    yield Rule("WR-PREab (nWR)", ("WR",), ("PREab",), "rank", write_to_precharge)
    yield Rule("PREab-ACT (nRP)", ("PREab",), ("ACT",), "rank", n.get("nRPab", n["nRP"]))
    if "nPPD" in n:
        yield Rule("PRE-PRE (nPPD)", PRECHARGES, PRECHARGES, "rank", n["nPPD"])

    yield Rule("ACT-REFab (nRC)", ("ACT",), ("REFab",), "rank", n["nRC"])
    yield Rule("PRE-REFab (nRP)", PRECHARGES, ("REFab",), "rank", n["nRP"])
    yield Rule("REFab-any (nRFC)", ("REFab",), ("ACT", "PREab", "REFab"), "rank", n["nRFC"])
    if name == "LPDDR5":
        yield Rule("REFpb-REFpb (tpbR2pbR)", ("REFpb",), ("REFpb",), "rank", n["nPBR2PBR"])
        yield Rule("REFpb-ACT, rank (tpbR2ACT)", ("REFpb",), ("ACT",), "rank", n["nPBR2ACT"])
    if "nRREFD" in n:
        yield Rule("REFpb-REFpb (nRREFD)", ("REFpb",), ("REFpb",), "rank", n["nRREFD"])
        yield Rule("REFpb-ACT, rank (nRREFD)", ("REFpb",), ("ACT",), "rank", n["nRREFD"])
        yield Rule("ACT-REFpb, rank (nRRDS)", ("ACT",), ("REFpb",), "rank", n["nRRDS"])
    if "nRFCpb" in n:
        yield Rule("REFpb-ACT, bank (nRFCpb)", ("REFpb",), ("ACT",), "bank", n["nRFCpb"])
        yield Rule("ACT-REFpb, bank (nRC)", ("ACT",), ("REFpb",), "bank", n["nRC"])
        yield Rule("PRE-REFpb (nRP)", ("PRE",), ("REFpb",), "bank", n["nRP"])
