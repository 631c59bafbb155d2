"""Whose hardware is co-simulated: ours, a user's own units, or a user's own Verilog with the documented ports."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtl_models.errors import InputError
from rtl_models.simulators import Simulator, VerilatorSimulator, simulator_by_name
from rtl_models.simulators.build import build_unit, cache_folder, compile_verilog, require_verilator, tool_versions
from rtl_models.simulators.interactive import InteractiveUnit, open_interactive
from rtl_models.simulators.interface import check_stimuli
from rtl_models.simulators.source import source_hash
from rtl_models.simulators.wrapper import UNIT_MODULE, Variant
from rtl_models.units import Response, Stimulus, Unit
from tlm.cosim.hardware import Hardware, UnitMaker
from tlm.cosim.units import hardware_by_name


class OwnVerilog:
    """Runs a user's Verilog file in the place of a unit: module `unit`, with that unit's ports, under Verilator."""

    name = "verilator"

    def __init__(self, path: Path) -> None:
        try:
            self._text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the Verilog file ({error})", str(path)) from error
        if f"module {UNIT_MODULE}" not in self._text:
            raise InputError("the Verilog file lacks the module", str(path), allowed=f"a module {UNIT_MODULE}")

    def run(self, unit: Unit, stimuli: Sequence[Stimulus], vcd: Path | None = None) -> list[Response]:
        """Run all stimuli; see `rtl_models.simulators.Simulator.run`."""
        check_stimuli(unit, stimuli, vcd)
        if not stimuli:
            return []
        library = self.build(unit, Variant(traced=vcd is not None))
        return VerilatorSimulator().run_library(library, unit, stimuli, vcd)

    def build(self, unit: Unit, variant: Variant | None = None) -> Path:
        """Return the shared object, compiled once into the cache; raises SimulatorError with a failure's log."""
        variant = variant or Variant()
        identity = repr((self._text, unit.name, unit.inputs, unit.outputs, variant, tool_versions(require_verilator())))
        key = hashlib.sha256(identity.encode()).hexdigest()[:16]
        folder = cache_folder() / f"own-{unit.name}-{key}"
        library = folder / f"own-{unit.name}-{key}.so"
        if not library.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".own.", dir=folder.parent) as parent:
                work = Path(parent) / "build"
                work.mkdir()
                compile_verilog(self._text, unit, work / library.name, variant)
                if not folder.exists():
                    work.rename(folder)
        return library


ELF_MAGIC = b"\x7fELF"


@dataclass(frozen=True)
class UnderTest:
    """Which units take the place of ours, by the hardware's name.

    `units` make units in MyHDL, `verilog` are files for Verilator. Raises InputError for a name of no hardware.
    """

    units: Mapping[str, UnitMaker] = field(default_factory=dict)
    verilog: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.units, *self.verilog):
            hardware_by_name(name)
        for path in self.verilog.values():
            OwnVerilog(Path(path))

    def unit(self, hardware: Hardware[Any, Any], geometry: Any) -> Unit:
        """Return the unit to run."""
        return self.units.get(hardware.name, hardware.unit)(geometry)

    def simulator(self, hardware: Hardware[Any, Any], name: str) -> Simulator:
        """Return what runs a kind of hardware on the simulator `name`; raises InputError for Verilog in MyHDL."""
        path = self.verilog.get(hardware.name)
        if path is None:
            return simulator_by_name(name)
        if name == "myhdl":
            raise InputError("MyHDL cannot run a Verilog file", f"{hardware.name}: simulator", name, "verilator")
        return OwnVerilog(Path(path))

    def interactive(self, hardware: Hardware[Any, Any], geometry: Any) -> InteractiveUnit:
        """Return the unit, reset, to be run clock by clock; raises InputError where Verilator is missing."""
        unit, path = self.unit(hardware, geometry), self.verilog.get(hardware.name)
        library = None if path is None else OwnVerilog(Path(path)).build(unit, Variant(interactive=True))
        return open_interactive(unit, library=library)

    def in_myhdl(self, hardware: Hardware[Any, Any]) -> bool:
        """Whether MyHDL can run it."""
        return hardware.name not in self.verilog

    def build(self, hardware: Hardware[Any, Any], geometry: Any) -> None:
        """Build the Verilated model before it is needed; one in the cache that cannot be loaded is built again."""
        unit = self.unit(hardware, geometry)
        path = self.verilog.get(hardware.name)
        build = build_unit if path is None else OwnVerilog(Path(path)).build
        library = build(unit)
        if not _loads(library):
            shutil.rmtree(library.parent, ignore_errors=True)  # another thread may have found it, and removed it
            build(unit)

    def identity(self, hardware: Hardware[Any, Any], geometry: Any) -> str:
        """Return what tells this hardware from any other: sources, parameters and ports."""
        path = self.verilog.get(hardware.name)
        text = "" if path is None else Path(path).read_text(encoding="utf-8")
        return f"{hardware.name} {source_hash(self.unit(hardware, geometry))} {text}"


def _loads(library: Path) -> bool:
    # dlopen takes a file for the one it loaded earlier where the inode was used again, so look at it first
    try:
        if not library.read_bytes().startswith(ELF_MAGIC):
            return False
        ctypes.CDLL(str(library))
    except OSError:
        return False
    return True
