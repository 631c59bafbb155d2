"""The tables of an evaluation as text cells: one content for the terminal, Markdown and the web page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tlm.report.page.numbers import short

Content = dict[str, Any]
Row = tuple[str, ...]
STALLED_GRADIENTS = 0.01
"""Share of non-zero gradients of hidden neurons below which a training is said to have stalled."""
RATIOS = {"speedup": "faster", "energy_ratio": "less energy", "area_ratio": "less area"}


@dataclass(frozen=True)
class Table:
    """A title, headings (the first column is text, the others numbers), rows, and what is to be known of them."""

    title: str
    headings: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def all_tables(content: Content) -> Iterator[Table]:
    """Yield the tables in the order in which they are shown."""
    yield headline_table(content)
    for network in content["networks"]:
        yield stage_table(network)
        yield sparsity_table(network)
        yield engine_table(network)
        if network["ablations"]:
            yield ablation_table(content, network)


def headline_table(content: Content) -> Table:
    """Network by network: ours, published, difference."""
    rows = []
    for network in content["networks"]:
        for number, (name, words) in enumerate(RATIOS.items()):
            ratio = network[name]
            off = f"{ratio['difference']:+.0%}" if ratio["difference"] else "inside"
            first = "" if number else network["name"]
            rows.append(
                (first, f"times {words}", short(ratio["nominal"]), limits(ratio), band(ratio["published"]), off)
            )
    headings = ("network", "", "ours", "low-high", "published", "off by")
    return Table(f"Against {gpu_words(content)}", headings, tuple(rows), tuple(_headline_notes(content)))


def _headline_notes(content: Content) -> Iterator[str]:
    method = content["method"]
    percents = ", ".join(map(str, method["stages"]))
    yield f"Means over the stages {percents} % of the training; in brackets the range that the constants leave."
    few = method["simulated_images"]
    simulated = f"simulated whole: {few[0]} images"
    if method["extended"]:
        simulated = f"{few[1]} are simulated, and each further one takes what those after the {few[0]}th did"
    gpu = method["gpu"]
    yield f"A step of ours has {method['batch_images']} images: {simulated}."
    yield f"A step of the GPU has {gpu['batch_images']} images; compared are time and energy of an image."
    watts = content["networks"][0]["gpu"]["power_w"]
    limit = gpu["power_limit_w"]
    yield f"The GPU's energy is its time x {spread(watts)} W, a share of its {limit:g} W (docs/gpu_baseline.md)."
    for network in content["networks"]:
        yield training_words(network)
        if not network["gpu"]["fits"]:
            yield f"{network['name']}: a step of {gpu['batch_images']} images does not fit into the GPU's memory."
    if content["provisional"]:
        yield "The configuration is provisional."


def training_words(network: Content) -> str:
    """Data, steps and rates of the training that the figures of a network come from."""
    training = network["training"]
    words = (
        f"{network['name']}: {training['steps']} steps of {training['batch_images']} images of {training['dataset']}"
    )
    if training["learning_rate"] is not None:
        words += f", rate {training['learning_rate']:g} falling along a cosine, {training['epochs']:.2g} epochs"
    return f"{words}; **briefly trained**." if training["brief"] else f"{words}."


def gpu_words(content: Content) -> str:
    """The GPU with precision, code and batch."""
    gpu = content["method"]["gpu"]
    return f"an {gpu['name']}, {gpu['precision']}, {gpu['neuron']} neuron kernels, batch {gpu['batch_images']}"


def stage_table(network: Content) -> Table:
    """Stage by stage: time and energy of an image, ratios; then the mean, and the GPU."""
    headings = ("stage", "us an image", "times faster", "uJ an image", "times less energy")
    rows: list[Row] = []
    for stage in network["stages"]:
        rows.append(
            (
                f"{stage['percent']} %, step {stage['step']}",
                short(stage["image_s"] * 1e6),
                spread(stage["speedup"]),
                spread(stage["image_energy_j"], 1e6),
                spread(stage["energy_ratio"]),
            )
        )
    ours = (short(network["image_s"] * 1e6), spread(network["speedup"]))
    rows.append(("mean", *ours, spread(network["image_energy_j"], 1e6), spread(network["energy_ratio"])))
    gpu = network["gpu"]
    rows.append(("GPU", spread(gpu["image_s"], 1e6), "", spread(gpu["image_energy_j"], 1e6), ""))
    return Table(f"{_named(network)}: time and energy over the training", headings, tuple(rows))


def sparsity_table(network: Content) -> Table:
    """Stage by stage: loss, and the shares of neurons and index groups that the engines exploit."""
    headings = ("stage", "loss", "firing", "active masks", "non-zero gradients", "empty index groups")
    keys = ("firing_rate", "active_masks", "nonzero_gradients", "zero_index_groups")
    rows = [
        (
            f"{stage['percent']} %, step {stage['step']}",
            "not finite" if stage["loss"] is None else f"{stage['loss']:.2f}",
            *(f"{stage[key]:.2f}" for key in keys),
        )
        for stage in network["stages"]
    ]
    return Table(
        f"{_named(network)}: sparsity over the training", headings, tuple(rows), tuple(_stalled_notes(network))
    )


def _stalled_notes(network: Content) -> Iterator[str]:
    """A training whose gradients have died out is sparse for a reason that no trained network shares."""
    for stage in network["stages"]:
        if stage["nonzero_gradients"] < STALLED_GRADIENTS:
            yield (
                f"**At {stage['percent']} % hardly a gradient is left ({stage['nonzero_gradients']:.2%}): the training "
                "has stalled, so these figures stand for no network that learns; try a lower --learning-rate.**"
            )


def ablation_table(content: Content, network: Content) -> Table:
    """Variant by variant: time, energy and area against the full machine."""
    headings = ("machine", "us an image", "times the time", "uJ an image", "times the energy", "mm2", "times the area")
    rows: list[Row] = []
    errors = []
    for variant in network["ablations"]:
        if variant["error"] is not None:
            rows.append((variant["name"], *["cannot be"] * (len(headings) - 1)))
            errors.append(f"{variant['name']}: {variant['error']}.")
            continue
        rows.append(
            (
                variant["name"],
                short(variant["image_s"] * 1e6),
                f"{variant['times_time']:.2f}",
                short(variant["image_energy_j"]["nominal"] * 1e6),
                f"{variant['times_energy']:.2f}",
                short(variant["area_mm2"]["nominal"]),
                f"{variant['times_area']:.2f}",
            )
        )
    images, stage = content["method"]["ablation_images"], network["ablations"][0]["stage"]
    notes = [f"A step of {images} images, simulated whole, at {stage} % of the training; nominal energy and area."]
    notes += _lane_notes(network["lane_spikes"])
    return Table(f"{_named(network)}: what each idea contributes", headings, tuple(rows), (*notes, *errors))


def _lane_notes(spikes: Content) -> Iterator[str]:
    for engine in ("forward", "weight_update"):
        found, name = spikes[engine], engine.replace("_", " ")
        yield (
            f"A zero-skipping adder of the {name} engine adds {found['spikes_per_group']:.2f} times "
            f"for a group of {spikes['k']}, a dense one {spikes['k']} times; the tree waits for the lane of "
            f"{spikes['lanes']} with the most: {found['waited_per_position']:.2f} cycles a position. A table takes 1."
        )


def _named(network: Content) -> str:
    return f"{network['name']} (briefly trained)" if network["training"]["brief"] else str(network["name"])


def engine_table(network: Content) -> Table:
    """Stage by stage: share of the step in which each engine is busy, and where the energy goes."""
    stages = network["stages"]
    headings = ("part", *(f"{stage['percent']} %" for stage in stages))
    rows = [
        (f"{name.replace('_', ' ')}, busy", *(f"{stage['busy'][name]:.0%}" for stage in stages))
        for name in stages[0]["busy"]
        if name != "host"
    ]
    for group in stages[0]["groups_j"]:
        shares = (stage["groups_j"][group] / sum(stage["groups_j"].values()) for stage in stages)
        rows.append((f"{group}, energy", *(f"{share:.0%}" for share in shares)))
    rows.append(
        (
            "DRAM, MB an image",
            *(short(stage["dram_bytes"] / stage["step_s"] * stage["image_s"] / 1e6) for stage in stages),
        )
    )
    return Table(f"{_named(network)}: what is busy, what takes energy", headings, tuple(rows))


def spread(found: Content, by: float = 1.0) -> str:
    """Nominal (low-high)."""
    return f"{short(found['nominal'] * by)} ({limits(found, by)})"


def limits(found: Content, by: float = 1.0) -> str:
    """low-high."""
    return f"{short(found['low'] * by)}-{short(found['high'] * by)}"


def band(published: Content) -> str:
    """A published range, or one figure."""
    if published["low"] == published["high"]:
        return f"{published['low']:g}"
    return f"{published['low']:.2f}-{published['high']:.2f}"
