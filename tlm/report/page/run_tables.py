"""What `result.json` says, as the tables and bars of a run's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlm.report.page.numbers import PJ_PER_J, limits, percent, time, words
from tlm.report.page.table import NONE, Cell, Row, Table, amount, count, duration, figure, share, size

Content = Mapping[str, Any]
PASSES = ("forward", "backward", "weight_update")


@dataclass(frozen=True)
class Part:
    """A piece of a bar: its share of the whole bar's room, its colour in the style sheet, what it stands for."""

    share: float
    colour: str
    title: str


@dataclass(frozen=True)
class Bar:
    """A bar of pieces side by side, with its name and a number behind it."""

    name: str
    parts: tuple[Part, ...]
    text: str


def engine_bars(content: Content, labels: list[dict[str, str]]) -> list[Bar]:
    """Return where each engine's time went; `labels` are the states with their colours, as in the timeline."""
    step_ps = content["time"]["step_ps"]
    bars = []
    for name, engine in content["engines"].items():
        booked = _states(engine)
        parts = tuple(
            Part(
                booked[state] / step_ps,
                label["colour"],
                f"{state}, {time(booked[state])} ({booked[state] / step_ps:.1%})",
            )
            for label in labels
            for state in [label["name"]]
            if booked.get(state)
        )
        bars.append(Bar(words(name), parts, percent(engine["busy_ps"] / step_ps)))
    return bars


def stall_table(content: Content) -> Table:
    """Every engine's states and their times, as the bars show them."""
    step_ps = content["time"]["step_ps"]
    rows = [
        (words(name), state, duration(ps), share(ps / step_ps))
        for name, engine in content["engines"].items()
        for state, ps in _states(engine).items()
    ]
    return Table("Time by engine, state and cause", ("engine", "state", "time", "of the step"), tuple(rows), texts=2)


def _states(engine: Content) -> dict[str, int]:
    """Picoseconds by state and reason, named as in the timeline."""
    waits = (("blocked", engine["blocked_ps"]), ("starved", engine["starved_ps"]))
    booked = {"busy": engine["busy_ps"]}
    return booked | {f"{state}: {reason}": ps for state, reasons in waits for reason, ps in reasons.items()}


def dram_bars(content: Content) -> list[Bar]:
    """Bytes by stream, read and written."""
    read, written = content["dram"]["read_bytes"], content["dram"]["written_bytes"]
    most = max((read[name] + written[name] for name in read), default=0) or 1
    bars = []
    for name in sorted(read, key=lambda name: -read[name] - written[name]):
        parts = (
            Part(read[name] / most, "read", f"read, {read[name]:,} bytes"),
            Part(written[name] / most, "written", f"written, {written[name]:,} bytes"),
        )
        bars.append(Bar(words(name), parts, size(read[name] + written[name]).text))
    return bars


def dram_table(content: Content) -> Table:
    """Bytes asked for, and whole bursts moved for them."""
    dram = content["dram"]
    columns = ("read_bytes", "written_bytes", "burst_read_bytes", "burst_written_bytes")
    rows: list[Row] = [(words(name), *(count(dram[column][name]) for column in columns)) for name in dram["read_bytes"]]
    return Table(
        "DRAM bytes by stream", ("stream", "read", "written", "read in bursts", "written in bursts"), tuple(rows)
    )


def channel_table(content: Content) -> Table:
    """Each DRAM channel: time at its peak, row buffer, commands."""
    dram = content["dram"]
    commands: list[str] = sorted({name for channel in dram["channels"] for name in channel["commands"]})
    rows: list[Row] = []
    for number, (channel, busy_ps) in enumerate(zip(dram["channels"], dram["channel_busy_ps"], strict=True)):
        used = (share(busy_ps / content["time"]["step_ps"]), *(count(channel[f"row_{k}"]) for k in _ROW_BUFFER))
        rows.append((f"channel {number}", *used, *(count(channel["commands"].get(name, 0)) for name in commands)))
    headings = ("channel", "busy", *(f"row {name}" for name in _ROW_BUFFER), *commands)
    return Table("DRAM channels", headings, tuple(rows))


_ROW_BUFFER = ("hits", "misses", "conflicts")


def layer_table(content: Content) -> Table:
    """Layer by layer: shape, sparsity, and the time and DRAM bytes of each pass."""
    work = {(entry["engine"], entry["layer"]): entry for entry in content["layer_work"]}
    headings = [
        "layer", "output", "weights", "firing rate", "active masks", "non-zero gradients", "empty index groups",
    ]  # fmt: skip
    headings += [f"{words(name)} time" for name in PASSES] + ["DRAM bytes"]
    rows: list[Row] = []
    for number, (layer, sparsity) in enumerate(zip(content["network"]["layers"], content["sparsity"], strict=True)):
        own = [entry for (_, of), entry in work.items() if of == number]
        rows.append(
            (
                layer["name"],
                "x".join(map(str, layer["out_shape"])),
                count(layer["weights"]),
                *(share(sparsity[key]) for key in _SPARSITY),
                *(duration(work[name, number]["time_ps"]) if (name, number) in work else NONE for name in PASSES),
                size(sum(entry["dram_bytes"] for entry in own)),
            )
        )
    return Table("Layers", tuple(headings), tuple(rows))


_SPARSITY = ("firing_rate", "active_masks", "nonzero_gradients", "zero_index_groups")


def work_table(content: Content) -> Table:
    """What each engine did on each layer: the numbers behind the rooflines."""
    layers = content["network"]["layers"]
    rows: list[Row] = []
    for entry in content["layer_work"]:
        reached = entry["operations"] / entry["time_ps"] * 1e12 if entry["time_ps"] else 0.0
        intensity: Cell = figure(entry["operations"] / entry["dram_bytes"]) if entry["dram_bytes"] else NONE
        rows.append(
            (
                layers[entry["layer"]]["name"],
                words(entry["engine"]),
                count(entry["operations"]),
                duration(entry["time_ps"]),
                amount(reached, "op/s"),
                share(reached / (entry["peak_operations_per_us"] * 1e6)),
                size(entry["dram_bytes"]),
                intensity,
            )
        )
    headings = (
        "layer", "engine", "operations", "time", "speed", "of the engine's peak", "DRAM bytes", "operations a byte",
    )  # fmt: skip
    return Table("Layers by engine", headings, tuple(rows), texts=2)


def energy_table(content: Content) -> Table:
    """Energy by group, nominal with its range."""
    groups = content["energy"]["groups"]
    whole = content["energy"]["energy_pj"]["nominal"]
    rows = [
        (name, amount(pj["nominal"] / PJ_PER_J, "J"), limits(pj, "J", 1 / PJ_PER_J), share(pj["nominal"] / whole))
        for name, pj in groups.items()
    ]
    return Table("Energy", ("part", "nominal", "low to high", "share"), tuple(rows))


def area_table(content: Content) -> Table:
    """Area by group, nominal with its range."""
    groups = content["area"]["groups"]
    whole = content["area"]["area_mm2"]["nominal"]
    rows = [
        (name, figure(mm2["nominal"]), f"{mm2['low']:.3g} to {mm2['high']:.3g}", share(mm2["nominal"] / whole))
        for name, mm2 in groups.items()
    ]
    return Table("Area", ("part", "mm²", "low to high", "share"), tuple(rows))


def buffer_table(content: Content) -> Table:
    """How full each buffer is, and how much of its ports the engines asked for at once."""
    placement, ports = content["placement"], content["buffer_ports"]
    rows: list[Row] = []
    for name, capacity in placement["capacity_bytes"].items():
        used, port = placement["used_bytes"].get(name, 0), ports[name]
        asked = port["peak_demand_bytes_per_cycle"] / port["bytes_per_cycle"]
        rows.append(
            (
                words(name),
                size(capacity),
                size(used),
                share(used / capacity),
                size(placement["staging_bytes"].get(name, 0)),
                size(port["moved_bytes"]),
                share(asked),
            )
        )
    headings = ("buffer", "capacity", "placed", "full", "of it staging", "moved", "peak demand of its ports")
    return Table("Buffers", headings, tuple(rows))


def unit_table(content: Content) -> Table:
    """The co-simulation's verdict on each unit."""
    rows = [(words(unit["unit"]), unit["verdict"], unit.get("reason", "")) for unit in content["cosim"]["units"]]
    return Table("Cycle laws and bits against the RTL", ("unit", "verdict", "why"), tuple(rows), texts=3)
