"""The summary of a run on one screen."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_summary(content: dict[str, Any], console: Console) -> None:
    """Print what `result.json` says: time, engines, DRAM, co-simulation, accuracy."""
    network, time = content["network"], content["time"]
    provisional = " (provisional)" if content["provisional"] else ""
    console.print(
        f"[bold]{escape(network['name'])}[/], step {network['step']}: batch {network['batch']}, "
        f"{network['timesteps']} timesteps, on [bold]{escape(content['config']['name'])}[/]{provisional}"
    )
    frequency_mhz = 1e6 / time["clock_period_ps"]
    console.print(
        f"one training step: [bold]{time['step_cycles']:,} cycles[/], "
        f"{time['step_ps'] / 1e6:,.2f} us at {frequency_mhz:,.0f} MHz"
    )
    run = network["run"]
    if run:
        brief = ": [yellow]briefly trained[/]" if run["briefly_trained"] else ""
        told = f"step {network['step']} of {run['steps']} on {network['dataset']}, batch {run['batch']}"
        console.print(f"{escape(told)}, {run['epochs']:.2g} epochs in all{brief}")
    if content["training"]:
        _print_training(content["training"], console)
    if network["skipped"]:
        console.print("[yellow]the step had a value that is not finite: the optimiser left the weights alone[/]")
    if network.get("origin"):
        console.print(f"the step was computed by {escape(network['origin'])}, not bit by bit as the machine does")
    console.print(_engines(content))
    console.print(_dram(content))
    _print_cosim(content["cosim"], console)


def _print_training(training: dict[str, Any], console: Console) -> None:
    accuracy = training["held_out_accuracy"]
    loss = "not finite" if training["loss"] is None else f"{training['loss']:.3f}"
    console.print(
        f"trained {training['steps']} steps on {training['dataset']}: held-out accuracy [bold]{accuracy:.1%}[/], "
        f"loss {loss}, seed {training['seed']}"
    )


def _engines(content: dict[str, Any]) -> Table:
    table = Table(title="Engines: share of the step", title_justify="left")
    for name in ("engine", "busy", "starved", "blocked"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    table.add_column("waits mostly for")
    total = content["time"]["step_ps"]
    for name, engine in content["engines"].items():
        waits = {**engine["starved_ps"], **engine["blocked_ps"]}
        main = max(waits, key=lambda reason: waits[reason]) if waits else ""
        shares = (engine["busy_ps"], sum(engine["starved_ps"].values()), sum(engine["blocked_ps"].values()))
        reason = f"{main} ({waits[main] / total:.0%})" if main else ""
        table.add_row(name.replace("_", " "), *(f"{share / total:.1%}" for share in shares), reason)
    return table


def _dram(content: dict[str, Any]) -> Table:
    dram = content["dram"]
    title = f"DRAM: {dram['total_bytes'] / 2**20:,.2f} MiB, {dram['share_of_peak']:.0%} of peak bandwidth"
    table = Table(title=title, title_justify="left")
    for name in ("stream", "read bytes", "written bytes"):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for stream, read in dram["read_bytes"].items():
        table.add_row(stream.replace("_", " "), f"{read:,}", f"{dram['written_bytes'][stream]:,}")
    return table


def _print_cosim(cosim: dict[str, Any] | None, console: Console) -> None:
    if cosim is None:
        console.print("co-simulation: not run (--cosim none); no cycle law is proved by this run")
        return
    for line in cosim["notes"]:
        console.print(escape(line))
    totals = {key: sum(entry[key] for entry in cosim["comparisons"]) for key in ("tiles", "results", "transfers")}
    wrong_bits = sum(entry["mismatched_bits"] for entry in cosim["comparisons"])
    wrong_cycles = sum(entry["mismatched_transfers"] for entry in cosim["comparisons"])
    verdict = "[green]passed[/]" if cosim["passed"] else "[red]FAILED[/]"
    console.print(
        f"co-simulation ({', '.join(cosim['simulators'])}): {verdict}, {totals['tiles']:,} tiles, "
        f"{totals['results']:,} results compared, {wrong_bits} wrong bits, "
        f"{totals['transfers']:,} transfers timed, {wrong_cycles} off the law"
    )
    by_verdict: dict[str, list[str]] = {}
    for unit in cosim["units"]:
        by_verdict.setdefault(unit["verdict"], []).append(unit["unit"].replace("_", " "))
    console.print("cycle laws: " + "; ".join(f"{verdict}: {', '.join(units)}" for verdict, units in by_verdict.items()))
