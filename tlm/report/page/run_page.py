"""The page of a run: `result.json` and `timeline.json` of its folder as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlm.report.page import roofline, run_tables
from tlm.report.page.numbers import PJ_PER_J, binary_bytes, limits, percent, quantity, short, time, words
from tlm.report.page.render import render
from tlm.report.page.table import Fact, settings
from tlm.report.page.timeline_data import Event, timeline_data

SECTIONS = (
    ("timeline", "Timeline"),
    ("stalls", "Stalls"),
    ("dram", "DRAM"),
    ("roofline", "Roofline"),
    ("layers", "Layers"),
    ("energy", "Energy"),
    ("buffers", "Buffers"),
    ("cosim", "Co-simulation"),
    ("configuration", "Configuration"),
    ("provenance", "Provenance"),
)
SCRIPTS = ("canvas.js", "timeline_view.js", "timeline_draw.js", "timeline.js")


def run_page(content: dict[str, Any], events: Sequence[Event]) -> str:
    """Return the page of `result.json`'s content and the events of `timeline.json`."""
    timeline = timeline_data(events)
    work = content["energy"]
    return render(
        "run.html",
        SCRIPTS,
        title=f"{content['network']['name']} on {content['config']['name']}",
        sections=SECTIONS,
        facts=_facts(content),
        story=_story(content),
        timeline=timeline,
        states=[(label["colour"], label["name"]) for label in timeline["labels"]],
        engine_bars=run_tables.engine_bars(content, timeline["labels"]),
        stalls=run_tables.stall_table(content),
        dram_bars=run_tables.dram_bars(content),
        dram=run_tables.dram_table(content),
        channels=run_tables.channel_table(content),
        rooflines=roofline.panels(content),
        roof=roofline,
        layers=run_tables.layer_table(content),
        work=run_tables.work_table(content),
        energy=run_tables.energy_table(content) if work else None,
        area=run_tables.area_table(content) if content["area"] else None,
        buffers=run_tables.buffer_table(content),
        units=run_tables.unit_table(content) if content["cosim"] else None,
        config=list(settings(content["config"])),
        provenance=_provenance(content),
    )


def _facts(content: dict[str, Any]) -> list[Fact]:
    step, dram = content["time"], content["dram"]
    mhz = 1e6 / step["clock_period_ps"]
    facts = [
        Fact("one training step", time(step["step_ps"]), f"{step['step_cycles']:,} cycles at {mhz:,.0f} MHz"),
        Fact("an image", time(step["step_ps"] / content["network"]["batch"]), f"batch {content['network']['batch']}"),
        Fact("DRAM", binary_bytes(dram["total_bytes"]), f"{percent(dram['share_of_peak'])} of its peak bandwidth"),
    ]
    busiest = max(content["engines"], key=lambda name: content["engines"][name]["busy_ps"])
    busy = content["engines"][busiest]["busy_ps"] / step["step_ps"]
    facts.append(Fact("busiest engine", words(busiest), f"{percent(busy)} of the step"))
    if content["energy"]:
        energy = content["energy"]
        watts = energy["power_w"]
        facts += [
            Fact("energy of the step", *_spread(energy["energy_pj"], "J", 1 / PJ_PER_J)),
            Fact("power", *_spread(watts, "W", 1.0)),
        ]
    if content["area"]:
        area = content["area"]["area_mm2"]
        facts.append(Fact("chip", f"{short(area['nominal'])} mm²", f"{area['low']:.0f} to {area['high']:.0f}, 28 nm"))
    return [*facts, _verdict(content["cosim"])]


def _spread(found: dict[str, float], unit: str, by: float) -> tuple[str, str]:
    return quantity(found["nominal"] * by, unit), limits(found, unit, by)


def _verdict(cosim: dict[str, Any] | None) -> Fact:
    if cosim is None:
        return Fact("co-simulation", "not run", "no cycle law is proved by this run")
    compared = cosim["comparisons"]
    bits = sum(entry["mismatched_bits"] for entry in compared)
    late = sum(entry["mismatched_transfers"] for entry in compared)
    tiles = sum(entry["tiles"] for entry in compared)
    more = f"{tiles:,} tiles, {bits:,} wrong bits, {late:,} transfers off the law"
    return Fact("co-simulation", *(("passed", more, "good") if cosim["passed"] else ("FAILED", more, "bad")))


def _story(content: dict[str, Any]) -> list[str]:
    """What step of what training this is, in sentences."""
    network, training = content["network"], content["training"]
    told = [
        f"Step {network['step']} of training {network['name']} on {network['dataset']}, {network['timesteps']} "
        f"timesteps, seed {network['seed']}."
    ]
    if network["run"]:
        whole = network["run"]
        brief = ": briefly trained" if whole["briefly_trained"] else ""
        told.append(f"Steps of the whole training: {whole['steps']:,}, or {whole['epochs']:.2g} epochs{brief}.")
    if training:
        loss = "not finite" if training["loss"] is None else f"{training['loss']:.3f}"
        told.append(f"Held-out accuracy {percent(training['held_out_accuracy'])}, loss {loss}.")
    if network["skipped"]:
        told.append("The step had a value that is not finite: the optimiser left the weights alone.")
    if network.get("origin"):
        told.append(f"The step was computed by {network['origin']}, not bit by bit as the machine does.")
    if content["provisional"]:
        told.append("The configuration is provisional, a hand estimate.")
    return told


def _provenance(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Command, versions, hashes and seeds."""
    found = [(words(key), str(value)) for key, value in content["provenance"].items()]
    found += [("seed of the trace", str(content["network"]["seed"])), ("schema", content["schema"])]
    if content["training"]:
        found.append(("seed of the training", str(content["training"]["seed"])))
    if content["cosim"] and "sample_seed" in content["cosim"]:
        found.append(("seed of the co-simulated sample", str(content["cosim"]["sample_seed"])))
    return found
