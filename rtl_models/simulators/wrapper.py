"""The C++ around a Verilated unit: PyVerilator's wrapper, port accessors of the unit's streams, the batch driver."""

from __future__ import annotations

import importlib
import json
import sys
import types
from dataclasses import dataclass
from importlib import resources

from rtl_models.simulators.ports import port_widths
from rtl_models.units import Field, Stream, Unit

UNIT_MODULE = "unit"
HARNESS_MODULE = "harness"
MODEL = "model"  # PyVerilator's wrapper names the class of the device V<MODEL>


@dataclass(frozen=True)
class Variant:
    """What a compiled model is for: the batch driver, or a user's hands; with or without waveforms."""

    interactive: bool = False
    traced: bool = False

    @property
    def top_module(self) -> str:
        """The Verilog module that is compiled: a batch drives the unit through the harness."""
        return UNIT_MODULE if self.interactive else HARNESS_MODULE


BATCH = Variant()


def import_pyverilator(name: str) -> types.ModuleType:
    """Import a module of PyVerilator.

    Its GTKWave remote control needs tclwrapper 0.0.1, which fails to import on Python 3.11 and later; nothing else
    does, so a stub takes its place where, and only where, that import fails.
    """
    try:
        importlib.import_module("tclwrapper")
    except Exception:  # noqa: BLE001  whatever ails it, the rest of PyVerilator does not need it
        sys.modules["tclwrapper"] = types.ModuleType("tclwrapper")
    return importlib.import_module(name)


def wrapper_files(unit: Unit, variant: Variant) -> dict[str, str]:
    """Return the C++ files, by name, that are compiled with the Verilated classes of `unit`.

    PyVerilator's wrapper always refers to a waveform; a model that was Verilated without one gets a trace function
    that does nothing, and is never asked for one.
    """
    template = import_pyverilator("pyverilator.verilatorcpp").template_cpp
    inputs, outputs = _directions(unit)
    text = [template(MODEL, inputs, outputs, [], json.dumps(json.dumps(None)))]
    if not variant.interactive:
        driver = resources.files("rtl_models.simulators").joinpath("batch_driver.h").read_text(encoding="utf-8")
        text += [*_accessors(unit), driver]
    base = f"V{variant.top_module}"
    trace = "" if variant.traced else " void trace(VerilatedVcdC*, int) {}"
    model = f'''#include "{base}.h"
class V{MODEL} : public {base} {{ public: using {base}::{base};{trace} }};
'''
    return {f"V{MODEL}.h": model, "wrapper.cpp": "\n".join(text)}


def harness_verilog(unit: Unit) -> str:
    """Return the Verilog of the harness: the unit with a register before each input, and its outputs as they are.

    With it nothing in the model depends on a port without a clock edge between, so that one evaluation settles a
    cycle; without it Verilator evaluates the logic behind the inputs once more for each edge of the clock.
    """
    inputs, outputs = _directions(unit)
    held = inputs[1:]  # all but the clock

    def bits(width: int) -> str:
        return "" if width == 1 else f"[{width - 1}:0] "

    ports = [*(f"input {bits(w)}{n}" for n, w in inputs), *(f"output {bits(w)}{n}" for n, w in outputs)]
    connections = [".clk(clk)", *(f".{n}({n}_held)" for n, _ in held), *(f".{n}({n})" for n, _ in outputs)]
    return "\n".join(
        [
            f"module {HARNESS_MODULE} (",
            "    " + ",\n    ".join(ports),
            ");",
            *(f"reg {bits(w)}{n}_held;" for n, w in held),
            "always @(posedge clk) begin",
            *(f"    {n}_held <= {n};" for n, _ in held),
            "end",
            f"{UNIT_MODULE} {UNIT_MODULE} (",
            "    " + ",\n    ".join(connections),
            ");",
            "endmodule",
            "",
        ]
    )


def _directions(unit: Unit) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return the unit's input ports, clock and reset first, and its output ports, each with its width."""
    widths = port_widths(unit)
    driven = {f"{s.name}_{p}" for s in unit.inputs for p in ("valid", *(f.name for f in s.fields))}
    driven |= {f"{s.name}_ready" for s in unit.outputs}
    inputs = [("clk", 1), ("rst", 1), *((name, widths[name]) for name in widths if name in driven)]
    return inputs, [(name, widths[name]) for name in widths if name not in driven]


def _accessors(unit: Unit) -> list[str]:
    """Return the functions ``port_*`` that the batch driver calls, one switch over the streams each."""
    ins, outs = list(unit.inputs), list(unit.outputs)
    read = "(DUT* top, int stream)"
    write = "(DUT* top, int stream, bool value)"
    move = "(DUT* top, int stream, uint64_t** fields, int64_t beat)"
    return [
        f"using DUT = V{MODEL};",
        f"constexpr int N_INPUTS = {len(ins)}, N_OUTPUTS = {len(outs)};",
        _switch(f"void port_set_valid{write}", [f"top->{s.name}_valid = value;" for s in ins]),
        _switch(f"void port_set_ready{write}", [f"top->{s.name}_ready = value;" for s in outs]),
        _switch(f"bool port_get_ready{read}", [f"return top->{s.name}_ready;" for s in ins], "return false;"),
        _switch(f"bool port_get_valid{read}", [f"return top->{s.name}_valid;" for s in outs], "return false;"),
        _switch(f"void port_offer{move}", [_each_field(s, _store) for s in ins]),
        _switch(f"void port_scramble{read}", [_each_field(s, _invert) for s in ins]),
        _switch(f"void port_capture{move}", [_each_field(s, _fetch) for s in outs]),
    ]


def _switch(head: str, cases: list[str], otherwise: str = "") -> str:
    body = "".join(f"\n    case {n}: {{ {case} break; }}" for n, case in enumerate(cases))
    return f"static inline {head} {{\n    switch (stream) {{{body}\n    default: break;\n    }}\n    {otherwise}\n}}"


def _each_field(stream: Stream, statement: object) -> str:
    assert callable(statement)
    return " ".join(statement(f"top->{stream.name}_{f.name}", n, f) for n, f in enumerate(stream.fields))


def _mask(bits: int) -> str:
    return f"{(1 << bits) - 1:#x}ull"


def _store(port: str, number: int, field: Field) -> str:
    """Write a field's port from its words, masked to the port's width (Verilator expects clean upper bits)."""
    width, words = field.width_bits, -(-field.width_bits // 64)
    if width <= 64:
        return f"{port} = fields[{number}][beat] & {_mask(width)};"
    parts = []
    for n in range(-(-width // 32)):
        bits = min(32, width - 32 * n)
        parts.append(f"{port}[{n}] = (fields[{number}][beat * {words} + {n // 2}] >> {32 * (n % 2)}) & {_mask(bits)};")
    return " ".join(parts)


def _invert(port: str, number: int, field: Field) -> str:
    width = field.width_bits
    if width <= 64:
        return f"{port} = ~uint64_t({port}) & {_mask(width)};"
    return " ".join(f"{port}[{n}] = ~{port}[{n}] & {_mask(min(32, width - 32 * n))};" for n in range(-(-width // 32)))


def _fetch(port: str, number: int, field: Field) -> str:
    """Read a field's port into its words."""
    width, words = field.width_bits, -(-field.width_bits // 64)
    if width <= 64:
        return f"fields[{number}][beat] = {port};"
    parts = []
    for n in range(words):
        high = f" | uint64_t({port}[{2 * n + 1}]) << 32" if 64 * n + 32 < width else ""
        parts.append(f"fields[{number}][beat * {words} + {n}] = uint64_t({port}[{2 * n}]){high};")
    return " ".join(parts)
