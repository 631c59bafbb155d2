"""`h2learn cosim TRACE`: a traced step through reference, MyHDL and Verilated hardware; or a failing tile again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtl_models.errors import InputError
from tlm.cli.config import config_option, set_option
from tlm.cli.console import output_console
from tlm.cli.cosim_lockstep import run_lockstep
from tlm.cli.examples import examples

if TYPE_CHECKING:
    from rich.table import Table

    from tlm.cosim import Comparison, CosimResult, ReplayResult

# What the command needs is imported inside it, so that its help answers at once.

RESULT_FILE = "cosim.json"
NUMBERS = ("streams (stalled)", "tiles", "results", "in trace", "wrong bits", "law cycles", "measured", "difference")


@click.command(
    "cosim",
    epilog=examples(
        "h2learn cosim h2learn-run/trace.h5 --cosim all",
        "h2learn cosim --replay h2learn-run/forward.tile --vcd tile.vcd",
    ),
)
@click.argument("trace", metavar="[TRACE]", required=False)
@config_option("config_name")
@set_option
@click.option(
    "--cosim",
    "mode",
    type=click.Choice(["sample", "all"]),
    default="sample",
    show_default=True,
    help="A seeded sample of the tiles, or all of them.",
)
@click.option("--sample-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of sample and stalls.")
@click.option("--simulator", default="auto", show_default=True, help="auto, verilator or myhdl.")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help=f"Folder of {RESULT_FILE} and a failing tile."
)
@click.option(
    "--verilog", metavar="UNIT=FILE", multiple=True, help="Run a Verilog file (module unit) in the place of a unit."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--replay", "tile", metavar="TILE", help="Run a failing tile's file again instead of a trace.")
@click.option("--vcd", metavar="FILE", type=click.Path(path_type=Path), help="With --replay: write the waveform.")
@click.option("--lockstep", is_flag=True, help="Simulate the step with units as hardware inside, clock by clock.")
@click.option(
    "--window", "window_tiles", metavar="N", type=click.IntRange(min=1), help="With --lockstep: tiles of each unit."
)
@click.pass_context
def cosim(
    ctx: click.Context,
    trace: str | None,
    config_name: str | None,
    overrides: tuple[str, ...],
    mode: str,
    sample_seed: int,
    simulator: str,
    out: Path | None,
    verilog: tuple[str, ...],
    as_json: bool,
    tile: str | None,
    vcd: Path | None,
    lockstep: bool,
    window_tiles: int | None,
) -> None:
    """Compare reference, RTL and cycle law of every unit on the work that the training step in TRACE gives it.

    Every result is compared bit by bit, and the cycle of every transfer with the law, free-running and under random
    stalls; what follows from the results is compared with TRACE. The first mismatch ends the run with exit code 1 and
    is written as a file (without --out: into the current folder) that --replay runs again. An interrupted run of
    --cosim all goes on where it was.

    With --lockstep the step is simulated twice: with one row of each LUT array and one backward unit as hardware
    that works clock by clock under the model's back-pressure, and without. Every time must be the same.
    """
    if tile is not None:
        if trace is not None:
            raise InputError("a trace and --replay together", "cosim", trace, "one of them")
        options = (("--config", config_name), ("--set", overrides), ("--out", out), ("--lockstep", lockstep or None))
        for option, given in options:
            if given:
                raise InputError("does not go with --replay: the tile tells its own configuration", option, str(given))
        ctx.exit(0 if _replay(tile, simulator, vcd, as_json, _verilog_files(verilog)) else 1)
    if trace is None:
        raise InputError("nothing to co-simulate", "cosim", allowed="a trace, or --replay TILE")
    if vcd is not None:
        raise InputError("a waveform is written of a replayed tile only", "--vcd", str(vcd), "with --replay TILE")
    if lockstep:
        for option, given, default in (("--cosim", mode, "sample"), ("--simulator", simulator, "auto")):
            if given != default and given != "verilator":
                raise InputError("does not go with --lockstep: a window runs, Verilated", option, given)
        files = _verilog_files(verilog)
        ctx.exit(0 if run_lockstep(trace, config_name, overrides, window_tiles, out, files, as_json) else 1)
    if window_tiles is not None:
        raise InputError("only units in lock-step have a window", "--window", window_tiles, "with --lockstep")
    result = _cosimulate(trace, config_name, overrides, mode, sample_seed, simulator, out, _verilog_files(verilog))
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_result(result)
    ctx.exit(0 if result.passed else 1)


def _cosimulate(
    trace: str,
    config_name: str | None,
    overrides: tuple[str, ...],
    mode: str,
    sample_seed: int,
    simulator: str,
    out: Path | None,
    verilog: dict[str, Path],
) -> CosimResult:
    from tlm.cosim import config_for_trace, cosimulate
    from workloads.atomic import check_writable, replacing
    from workloads.trace_file import open_trace

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        check_writable(out / RESULT_FILE)
    with open_trace(trace) as opened:
        config = config_for_trace(opened.arithmetic, config_name, overrides)
    with _progress() as progress:
        result = cosimulate(trace, config, mode, simulator, sample_seed, progress, out or Path(), verilog=verilog)
    if out is not None:
        with replacing(out / RESULT_FILE) as temporary:
            temporary.write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
    return result


def _verilog_files(settings: tuple[str, ...]) -> dict[str, Path]:
    """Files by the unit whose place they take."""
    files = {}
    for setting in settings:
        unit, equals, path = setting.partition("=")
        if not equals or not path:
            raise InputError("not a unit and a file", "--verilog", setting, "UNIT=FILE")
        files[unit] = Path(path)
    return files


def print_result(result: CosimResult) -> None:
    """Print a result for a person: a table by engine and layer, the verdict per unit, and the failing tile."""
    output_console(markup=True).print(_table(result))
    for note in result.notes:
        click.echo(f"note: {note}")
    for unit in result.units:
        click.echo(f"{unit.unit}: law {unit.verdict} ({unit.reason})")
    click.echo("time: " + ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in result.seconds.items()))
    failure = result.failure
    if failure is None:
        click.echo("every compared bit and cycle is equal" if result.passed else "nothing was compared")
        return
    click.echo(f"MISMATCH in {failure.stream} ({failure.simulator}): {failure.difference}")
    if failure.tile_file is not None:
        click.echo(f"run it again: h2learn cosim --replay {failure.tile_file} --vcd tile.vcd")


def _table(result: CosimResult) -> Table:
    from rich.table import Table

    title = f"Co-simulation of {result.network}, configuration {result.config}, {result.mode}"
    table = Table(title=f"{title}, seed {result.sample_seed}", title_justify="left")
    for name in ("engine", "layer", "simulator"):
        table.add_column(name)
    for name in NUMBERS:
        table.add_column(name, justify="right")
    tiles = {(count["engine"], count["layer"]): int(count["tiles"]) for count in result.available}
    for entry in result.comparisons:
        numbers = (
            f"{entry.streams:,} ({entry.stalled_streams:,})",
            _share(entry.tiles, tiles[entry.engine, entry.layer]),
            f"{entry.results:,}",
            f"{entry.trace_results:,}",
            _mismatches(entry),
            f"{entry.law_cycles:,}",
            f"{entry.measured_cycles:,}",
            _difference(entry),
        )
        table.add_row(entry.engine.replace("_", " "), entry.layer_name, entry.simulator, *numbers)
    return table


def _share(count: int, available: int) -> str:
    """How many of those there are; only the number where it is all of them."""
    return f"{count:,}" if count == available else f"{count:,} of {available:,}"


def _mismatches(entry: Comparison) -> str:
    """Wrong bits, and wrong values of the trace where there are some."""
    in_trace = f" ({entry.mismatched_trace_results:,} in trace)" if entry.mismatched_trace_results else ""
    return f"{entry.mismatched_bits:,}{in_trace}"


def _difference(entry: Comparison) -> str:
    """Cycles measured less those by law, and the beats that came in another cycle where there are some."""
    beats = f" ({entry.mismatched_transfers:,} beats)" if entry.mismatched_transfers else ""
    return f"{entry.difference_cycles:,}{beats}"


def _replay(tile: str, simulator: str, vcd: Path | None, as_json: bool, verilog: dict[str, Path]) -> bool:
    """Replay a tile and print what differs; returns whether all is equal."""
    from tlm.cosim import read_tile, replay
    from workloads.atomic import check_writable

    if vcd is not None:
        check_writable(vcd)
    unit = read_tile(tile).case.hardware.name if verilog else ""
    if set(verilog) - {unit}:
        raise InputError("the tile is for another unit", "--verilog", ", ".join(verilog), unit)
    result = replay(tile, simulator, vcd, verilog=verilog.get(unit))
    if as_json:
        click.echo(json.dumps(_replay_dict(result, vcd), indent=2))
        return result.passed
    recorded = result.tile
    click.echo(f"{recorded.case.name}, from a trace of {recorded.network} ({recorded.trace_digest[:12]})")
    click.echo(f"written because of ({recorded.simulator}): {recorded.seen}")
    if result.reference_changed:
        click.echo("today's reference expects other sums than the file's")
    if result.law_changed:
        click.echo("today's law expects other cycles than the file's")
    if vcd is not None:
        click.echo(f"waveform: {vcd}")
    if result.difference is None:
        click.echo(f"{result.simulator}: all results and transfers are equal now, {result.cycles:,} cycles")
    else:
        click.echo(f"{result.simulator}: MISMATCH: {result.difference}")
    return result.passed


def _replay_dict(result: ReplayResult, vcd: Path | None) -> dict[str, object]:
    return {
        "stream": result.tile.case.name,
        "network": result.tile.network,
        "trace_digest": result.tile.trace_digest,
        "seen": result.tile.seen,
        "simulator": result.simulator,
        "passed": result.passed,
        "difference": None if result.difference is None else str(result.difference),
        "cycles": result.cycles,
        "reference_changed": result.reference_changed,
        "law_changed": result.law_changed,
        "vcd": None if vcd is None else str(vcd),
    }


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr; nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("co-simulating {task.completed:,.0f} cycles"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("cycles", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
