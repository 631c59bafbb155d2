"""The C++ around a Verilated unit: PyVerilator's wrapper, port accessors of the unit's streams, the batch driver."""

from __future__ import annotations

import importlib
import json
import sys
import types
from importlib import resources

from rtl_models.simulators.ports import port_widths
from rtl_models.units import Field, Stream, Unit

TOP_MODULE = "unit"
MODEL = "model"  # PyVerilator's wrapper names the class of the device V<MODEL>


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


def wrapper_files(unit: Unit, traced: bool) -> dict[str, str]:
    """Return the C++ files, by name, that are compiled with the Verilated classes of `unit` (top `TOP_MODULE`).

    PyVerilator's wrapper always refers to a waveform; a model that was Verilated without one (not `traced`) gets a
    trace function that does nothing, and is never asked for one.
    """
    template = import_pyverilator("pyverilator.verilatorcpp").template_cpp
    widths = port_widths(unit)
    driven = {f"{s.name}_{p}" for s in unit.inputs for p in ("valid", *(f.name for f in s.fields))}
    driven |= {f"{s.name}_ready" for s in unit.outputs}
    inputs = [("clk", 1), ("rst", 1), *((name, widths[name]) for name in widths if name in driven)]
    outputs = [(name, widths[name]) for name in widths if name not in driven]
    pyverilator = template(MODEL, inputs, outputs, [], json.dumps(json.dumps(None)))
    driver = resources.files("rtl_models.simulators").joinpath("batch_driver.h").read_text(encoding="utf-8")
    trace = "" if traced else " void trace(VerilatedVcdC*, int) {}"
    model = f"""#include "V{TOP_MODULE}.h"
class V{MODEL} : public V{TOP_MODULE} {{ public: using V{TOP_MODULE}::V{TOP_MODULE};{trace} }};
"""
    return {f"V{MODEL}.h": model, "wrapper.cpp": "\n".join([pyverilator, *_accessors(unit), driver])}


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
