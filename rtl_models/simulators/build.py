"""Builds the shared object of a Verilated unit, once: the cache is keyed on everything that goes into it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from rtl_models.errors import InputError
from rtl_models.simulators.children import run_tool
from rtl_models.simulators.interface import SimulatorError
from rtl_models.simulators.process import call_worker, tail
from rtl_models.simulators.source import source_hash
from rtl_models.simulators.wrapper import BATCH, HARNESS_MODULE, UNIT_MODULE, Variant, harness_verilog, wrapper_files
from rtl_models.units import Unit

# unique: what Verilog leaves unknown becomes random bits, never a silent 0
VERILATOR_FLAGS = ("-O3", "--x-assign", "unique", "--x-initial", "unique", "--noassert", "-Wno-WIDTH")
# C++17 for Verilator 5's headers; no-gnu-unique, or two models of one process share their static variables
COMPILER_FLAGS = ("-std=c++17", "-fPIC", "-fno-gnu-unique", "-w", "-DVL_USER_FINISH", "-DVM_COVERAGE=0", "-DVM_SC=0")
BATCH_OPTIMISATION = "-O1"  # half as long to build as -O2; a row then runs 3 to 15 % faster, a backward unit 4 % slower
BARE_OPTIMISATION = "-O2"  # all pairs through a bare adder take 23 % longer with -O1
OTHER_OPTIMISATION = "-O0"  # waveforms, the run-time library and Verilator's cold code: what counts is a short build
RUNTIME = ("verilated", "verilated_vcd_c", "verilated_threads")
RUNTIME_OBJECT = "runtime.o"
HEADERS = ("verilated.h",)

_making: dict[Path, threading.Lock] = {}
"""Held while this process makes a folder: a second thread waits for the first."""
_guard = threading.Lock()


def cache_folder() -> Path:
    """Return the folder of built models: $H2LEARN_CACHE, else h2learn in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("H2LEARN_CACHE")
    if own:
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "h2learn"


def verilator_path() -> str | None:
    """Return the Verilator on the search path, None where there is none or no compiler beside it."""
    path = shutil.which("verilator")
    return path if path and shutil.which("g++") else None


def require_verilator() -> str:
    """Return the Verilator on the search path; raises InputError where it or g++ is missing."""
    path = verilator_path()
    if path is None:
        raise InputError(
            "simulator not found (verilator and g++ must be installed, as with: apt-get install verilator g++)",
            "simulator",
            "verilator",
            "auto, myhdl",
        )
    return path


@functools.cache
def tool_versions(verilator: str) -> str:
    """Return the versions of the tools and packages that make a model."""
    versions = [
        subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
        for tool in (verilator, "g++")
    ]
    return "\n".join([*versions, *(f"{p} {metadata.version(p)}" for p in ("myhdl", "pyverilator"))])


def build_unit(unit: Unit, variant: Variant = BATCH) -> Path:
    """Return the unit's shared object, building it where the cache has none.

    Beside it lies ``unit.v``. Several processes may build the same unit: each works in a folder of its own and the
    first to finish publishes. Raises InputError where Verilator is missing, SimulatorError with the end of the log
    where a tool fails.
    """
    verilator = require_verilator()
    files = wrapper_files(unit, variant)
    flags = repr(
        (VERILATOR_FLAGS, COMPILER_FLAGS, _optimisation(variant), OTHER_OPTIMISATION, variant, harness_verilog(unit))
    )
    key = _hash(source_hash(unit), repr(files), flags, tool_versions(verilator))
    folder = cache_folder() / f"{unit.name}-{key}"
    library = folder / f"{unit.name}-{key}.so"

    def make(work: Path) -> None:
        verilog = call_worker("rtl_models.simulators.convert_worker", (unit, UNIT_MODULE), unit.name)
        compile_verilog(verilog, unit, work / library.name, variant)

    _publish(folder, library.name, make)
    return library


def compile_verilog(verilog: str, unit: Unit, library: Path, variant: Variant = BATCH) -> None:
    """Compile Verilog text with the ports of `unit` into the shared object `library`, and keep ``unit.v`` beside it."""
    verilator = require_verilator()
    objects = _runtime_objects(verilator)
    source = library.parent / f"{UNIT_MODULE}.v"
    source.write_text(verilog, encoding="utf-8")
    generated = library.parent / "verilated"
    generated.mkdir()
    harness = generated / f"{HARNESS_MODULE}.v"
    harness.write_text(harness_verilog(unit), encoding="utf-8")
    sources = [str(source)] if variant.interactive else [str(source), str(harness)]
    trace = ["--trace"] if variant.traced else []
    arguments = ["--cc", "--top-module", variant.top_module, "-Mdir", str(generated), *sources]
    _call([verilator, *VERILATOR_FLAGS, *trace, *arguments], unit.name)
    for name, text in wrapper_files(unit, variant).items():
        (generated / name).write_text(text, encoding="utf-8")
    # one compilation of everything; what runs once per model is not worth optimising
    parts = [_include(p.name) for p in sorted(generated.glob(f"V{variant.top_module}*.cpp"))]
    (generated / "all.cpp").write_text("".join([*parts, _include("wrapper.cpp")]), encoding="utf-8")
    headers = _precompiled_headers(verilator, _optimisation(variant))
    command = ["g++", *COMPILER_FLAGS, _optimisation(variant), "-include", str(headers), *_include_flags(verilator)]
    command += [f"-I{generated}", "-shared", str(generated / "all.cpp"), *map(str, objects)]
    _call([*command, "-o", str(library), "-lpthread"], unit.name)
    shutil.rmtree(generated)


def _optimisation(variant: Variant) -> str:
    if variant.traced:
        return OTHER_OPTIMISATION
    return BARE_OPTIMISATION if variant.interactive else BATCH_OPTIMISATION


def _include(name: str) -> str:
    line = f'#include "{name}"\n'
    if "Slow" not in name:
        return line
    return (
        f'#pragma GCC push_options\n#pragma GCC optimize ("{OTHER_OPTIMISATION[1:]}")\n{line}#pragma GCC pop_options\n'
    )


def _runtime_objects(verilator: str) -> list[Path]:
    """Return Verilator's run-time library as objects, compiled once per version."""
    key = _hash(tool_versions(verilator), repr((COMPILER_FLAGS, RUNTIME)), OTHER_OPTIMISATION)
    folder = cache_folder() / f"runtime-{key}"

    def make(work: Path) -> None:
        # one compilation: most of each would go into the headers that they share
        source = work / "runtime.cpp"
        source.write_text("".join(f'#include "{name}.cpp"\n' for name in RUNTIME), encoding="utf-8")
        command = ["g++", *COMPILER_FLAGS, OTHER_OPTIMISATION, *_include_flags(verilator), "-c", str(source)]
        _call([*command, "-o", str(work / RUNTIME_OBJECT)], "verilator's run-time library")

    _publish(folder, RUNTIME_OBJECT, make)
    return [folder / RUNTIME_OBJECT]


def _precompiled_headers(verilator: str, optimisation: str) -> Path:
    """Return a header, compiled once for these flags: to read Verilator's headers takes longer than a small model."""
    key = _hash(tool_versions(verilator), repr((COMPILER_FLAGS, HEADERS)), optimisation)
    folder = cache_folder() / f"headers-{key}"

    def make(work: Path) -> None:
        header = work / "headers.h"
        header.write_text("".join(f"#include <{name}>\n" for name in HEADERS), encoding="utf-8")
        command = ["g++", *COMPILER_FLAGS, optimisation, *_include_flags(verilator), "-x", "c++-header", str(header)]
        _call([*command, "-o", f"{header}.gch"], "Verilator's headers")

    _publish(folder, "headers.h.gch", make)
    return folder / "headers.h"


@functools.cache
def _include_flags(verilator: str) -> tuple[str, ...]:
    """Return the include folders of Verilator's run-time library, itself first."""
    asked = subprocess.run([verilator, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=True)
    root = Path(asked.stdout.strip()) / "include"
    return f"-I{root}", f"-I{root / 'vltstd'}"


def _publish(folder: Path, proof: str, make: Callable[[Path], None]) -> None:
    """Let `make` fill a private folder and rename it to `folder`, unless `folder` with the file `proof` is there."""
    with _guard:
        lock = _making.setdefault(folder, threading.Lock())
    with lock:
        if not (folder / proof).exists():
            _make_and_rename(folder, proof, make)


def _make_and_rename(folder: Path, proof: str, make: Callable[[Path], None]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise InputError(
            f"cache folder is not writable ({error.strerror})", "H2LEARN_CACHE", str(folder.parent)
        ) from error
    try:
        make(work)
        try:
            work.rename(folder)
        except OSError:
            if not (folder / proof).exists():  # another process was not first: this is a real failure
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _call(command: list[str], unit_name: str) -> None:
    status, output = run_tool(command)
    if status != 0:
        raise SimulatorError(unit_name, f"{Path(command[0]).name} failed:\n{tail(output.decode(errors='replace'))}")


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
