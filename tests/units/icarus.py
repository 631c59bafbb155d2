"""Replays a simulated run of a unit in Icarus Verilog: every port, every cycle, and nothing unknown."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtl_models.simulators.interface import RESET_CYCLES
from rtl_models.simulators.ports import port_widths
from rtl_models.simulators.process import call_worker
from rtl_models.units import Field, Response, Stimulus, Stream, Unit, Words
from tests.rtl_models.simulation import IN_CI

HAS_ICARUS = shutil.which("iverilog") is not None and shutil.which("vvp") is not None
# a missing Icarus is a visible skip at home and a failure in continuous integration
needs_icarus = pytest.mark.skipif(not HAS_ICARUS and not IN_CI, reason="iverilog is not installed")

PASSED = "passed"


def verilog_of(unit: Unit) -> str:
    """Return the unit's generated Verilog, module ``unit``."""
    text: str = call_worker("rtl_models.simulators.convert_worker", (unit, "unit"), unit.name)
    return text


def replay(unit: Unit, stimulus: Stimulus, response: Response, folder: Path, verilog: str | None = None) -> str:
    """Run the unit's Verilog, or another, with the stimulus under Icarus and return what its test bench says.

    That is `PASSED` where every handshake falls into the cycle of `response`, every result has its bits, and no bit
    compared is unknown; else the first cycle that differs.
    """
    (folder / "unit.v").write_text(verilog or verilog_of(unit), encoding="utf-8")
    (folder / "bench.v").write_text(_bench(unit, stimulus, response, folder), encoding="utf-8")
    program = folder / "bench"
    for command in (
        ["iverilog", "-g2005", "-o", program, folder / "bench.v", folder / "unit.v"],
        ["vvp", "-n", program],
    ):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return done.stdout + done.stderr
    return done.stdout.strip()


class _Row:
    """Bits of all ports of one direction in one cycle, first port lowest, with a mask of those that matter."""

    def __init__(self, ports: list[tuple[str, int]]) -> None:
        self.offsets = dict(zip([p for p, _ in ports], np.cumsum([0, *(w for _, w in ports)]).tolist(), strict=False))
        self.widths = dict(ports)
        self.bits = self.mask = 0

    def set(self, port: str, value: int) -> None:
        ones = (1 << self.widths[port]) - 1
        at = self.offsets[port]
        self.bits = self.bits & ~(ones << at) | (value & ones) << at
        self.mask |= ones << at


def _integer(words: Words, beat: int) -> int:
    return int.from_bytes(words[beat].astype("<u8").tobytes(), "little")


def _ports(unit: Unit) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return (driven, seen) ports with their widths."""
    widths = port_widths(unit)
    driven = [f"{s.name}_{p}" for s in unit.inputs for p in ("valid", *(f.name for f in s.fields))]
    driven += [f"{s.name}_ready" for s in unit.outputs]
    return [(p, widths[p]) for p in driven], [(p, w) for p, w in widths.items() if p not in driven]


def _offered_since(stimulus: Stimulus, stream: str, transfers: list[int]) -> list[int]:
    """Return for each beat the cycle from which its source offers it."""
    pattern = stimulus.valid.get(stream, np.zeros(0, np.uint8))
    since = []
    for earliest in [0, *(t + 1 for t in transfers[:-1])]:
        cycle = earliest
        while cycle < len(pattern) and not pattern[cycle]:
            cycle += 1
        since.append(cycle)
    return since


def _vectors(unit: Unit, stimulus: Stimulus, response: Response) -> list[tuple[_Row, _Row]]:
    """Return what is driven and what must be seen in each cycle of the run."""
    driven, seen = _ports(unit)
    rows = [(_Row(driven), _Row(seen)) for _ in range(response.cycles_total)]
    for stream in unit.inputs:
        transfers = response.transfers[stream.name].tolist()
        for beat, (since, done) in enumerate(
            zip(_offered_since(stimulus, stream.name, transfers), transfers, strict=True)
        ):
            for cycle in range(since, done + 1):
                drive, see = rows[cycle]
                drive.set(f"{stream.name}_valid", 1)
                see.set(f"{stream.name}_ready", int(cycle == done))
                for field in stream.fields:
                    drive.set(f"{stream.name}_{field.name}", _integer(stimulus.beats[stream.name][field.name], beat))
    for stream in unit.outputs:
        pattern = stimulus.ready.get(stream.name, np.zeros(0, np.uint8))
        beats = {cycle: beat for beat, cycle in enumerate(response.transfers[stream.name].tolist())}
        for cycle, (drive, see) in enumerate(rows):
            if cycle < len(pattern) and not pattern[cycle]:
                continue
            drive.set(f"{stream.name}_ready", 1)
            see.set(f"{stream.name}_valid", int(cycle in beats))
            if cycle in beats:
                _see_payload(see, stream, response.payloads[stream.name], beats[cycle])
    return rows


def _see_payload(see: _Row, stream: Stream, payload: dict[str, Words], beat: int) -> None:
    field: Field
    for field in stream.fields:
        see.set(f"{stream.name}_{field.name}", _integer(payload[field.name], beat))


def _bench(unit: Unit, stimulus: Stimulus, response: Response, folder: Path) -> str:
    driven, seen = _ports(unit)
    rows = _vectors(unit, stimulus, response)
    inputs, outputs = sum(w for _, w in driven), sum(w for _, w in seen)
    lines = [f"{drive.bits | see.bits << inputs | see.mask << (inputs + outputs):x}" for drive, see in rows]
    (folder / "vectors.hex").write_text("\n".join(lines) + "\n", encoding="ascii")
    connections = [".clk(clk), .rst(rst)"]
    for ports, bus in ((driven, "drive"), (seen, "see")):
        low = 0
        for port, width in ports:
            connections.append(f".{port}({bus}[{low + width - 1}:{low}])")
            low += width
    return f"""`timescale 1ns/1ps
module bench;
    reg clk, rst;
    reg [{inputs - 1}:0] drive;
    wire [{outputs - 1}:0] see;
    reg [{outputs - 1}:0] want, mask;
    reg [{inputs + 2 * outputs - 1}:0] vectors [0:{len(rows) - 1}];
    integer cycle;
    unit device({", ".join(connections)});
    initial begin
        $readmemh("{folder / "vectors.hex"}", vectors);
        clk = 0; rst = 1; drive = 0;
        for (cycle = 0; cycle < {RESET_CYCLES}; cycle = cycle + 1) begin #5 clk = 1; #5 clk = 0; end
        rst = 0;
        for (cycle = 0; cycle < {len(rows)}; cycle = cycle + 1) begin
            {{mask, want, drive}} = vectors[cycle];
            #5;
            if ((see & mask) !== (want & mask)) begin
                $display("cycle %0d: saw %h, wanted %h, of %h", cycle, see & mask, want & mask, mask);
                $finish(0);
            end
            clk = 1; #5 clk = 0;
        end
        if (cycle == {len(rows)}) $display("{PASSED}");
        $finish(0);
    end
endmodule
"""
