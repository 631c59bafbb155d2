"""Builds the shared object of a Verilated unit, once: the cache is keyed on everything that goes into it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from rtl_models.errors import InputError
from rtl_models.simulators.interface import SimulatorError
from rtl_models.simulators.process import call_worker, tail
from rtl_models.simulators.source import source_hash
from rtl_models.simulators.wrapper import TOP_MODULE, wrapper_source
from rtl_models.units import Unit

# unique: what Verilog leaves unknown becomes random bits, never a silent 0
VERILATOR_FLAGS = ("-O3", "--x-assign", "unique", "--x-initial", "unique", "--noassert", "--trace", "-Wno-WIDTH")
# C++17 for Verilator 5's headers; no-gnu-unique, or two models of one process share their static variables
COMPILER_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fno-gnu-unique", "-w", "-DVL_USER_FINISH")
DEFINES = ("-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=1", "-DVM_TRACE_FST=0", "-DVM_TRACE_VCD=1")
RUNTIME = ("verilated", "verilated_vcd_c", "verilated_threads")


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


def build_unit(unit: Unit) -> Path:
    """Return the unit's shared object, building it where the cache has none.

    Beside it lies ``unit.v``. Several processes may build the same unit: each works in a folder of its own and the first
    to finish publishes. Raises InputError where Verilator is missing, SimulatorError with the end of the log where
    a tool fails.
    """
    verilator = require_verilator()
    wrapper = wrapper_source(unit)
    flags = repr((VERILATOR_FLAGS, COMPILER_FLAGS, DEFINES))
    key = _hash(source_hash(unit), wrapper, flags, tool_versions(verilator))
    folder = cache_folder() / f"{unit.name}-{key}"
    library = folder / f"{unit.name}-{key}.so"

    def make(work: Path) -> None:
        verilog = call_worker("rtl_models.simulators.convert_worker", (unit, TOP_MODULE), unit.name)
        (work / f"{TOP_MODULE}.v").write_text(verilog, encoding="utf-8")
        compile_verilog(work, wrapper, work / library.name, unit.name)

    _publish(folder, library.name, make)
    return library


def compile_verilog(work: Path, wrapper: str, library: Path, unit_name: str) -> None:
    """Verilate ``unit.v`` in `work` and compile it with `wrapper` into `library`."""
    verilator = require_verilator()
    objects = _runtime_objects(verilator)
    generated = work / "verilated"
    source = work / f"{TOP_MODULE}.v"
    arguments = ["--cc", "--top-module", TOP_MODULE, "-Mdir", str(generated), str(source)]
    _call([verilator, *VERILATOR_FLAGS, *arguments], unit_name)
    (generated / "wrapper.cpp").write_text(wrapper, encoding="utf-8")
    parts = [*sorted(p.name for p in generated.glob(f"V{TOP_MODULE}*.cpp")), "wrapper.cpp"]
    (generated / "all.cpp").write_text("".join(f'#include "{p}"\n' for p in parts), encoding="utf-8")
    command = ["g++", *COMPILER_FLAGS, *DEFINES, *_include_flags(verilator), f"-I{generated}", "-shared"]
    _call([*command, str(generated / "all.cpp"), *map(str, objects), "-o", str(library), "-lpthread"], unit_name)
    shutil.rmtree(generated)


def _runtime_objects(verilator: str) -> list[Path]:
    """Return Verilator's run-time library as objects, compiled once per version."""
    folder = cache_folder() / f"runtime-{_hash(tool_versions(verilator), repr((COMPILER_FLAGS, DEFINES)))}"
    include = _include_flags(verilator)

    def make(work: Path) -> None:
        root = Path(include[0].removeprefix("-I"))
        for name in RUNTIME:
            command = ["g++", *COMPILER_FLAGS, *DEFINES, *include, "-c", str(root / f"{name}.cpp")]
            _call([*command, "-o", str(work / f"{name}.o")], "verilator's run-time library")

    _publish(folder, f"{RUNTIME[-1]}.o", make)
    return [folder / f"{name}.o" for name in RUNTIME]


@functools.cache
def _include_flags(verilator: str) -> tuple[str, ...]:
    """Return the include folders of Verilator's run-time library, itself first."""
    asked = subprocess.run([verilator, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=True)
    root = Path(asked.stdout.strip()) / "include"
    return f"-I{root}", f"-I{root / 'vltstd'}"


def _publish(folder: Path, proof: str, make: Callable[[Path], None]) -> None:
    """Let `make` fill a private folder and rename it to `folder`, unless `folder` with the file `proof` is there."""
    if (folder / proof).exists():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise InputError(f"cache folder is not writable ({error.strerror})", "H2LEARN_CACHE", str(folder.parent)) from error
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
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SimulatorError(unit_name, f"{Path(command[0]).name} failed:\n{tail(done.stdout + done.stderr)}")


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
