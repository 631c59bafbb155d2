"""Draws the pictures of docs/machine.md: `python scripts/draw_machine.py [FOLDER]`, by default docs/images/machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from drawing import Drawing

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images" / "machine"


def chip() -> Drawing:
    """Engines, vector units, buffers and DRAM; a line has the colour of the tensor that it carries."""
    d = Drawing(980, 640, "The chip: engines, vector units, buffers, DMA and DRAM")
    d.frame(20, 14, 940, 530, "chip")
    d.box(130, 78, 200, 76, "forward engine\nlook-up tables of weights\nindexed by spikes", "spikes")
    d.box(400, 78, 200, 76, "backward engine\nskips zero gradients\nand masked outputs", "gradients")
    d.box(670, 78, 200, 76, "weight update engine\nlook-up tables of gradients\nindexed by spikes", "weights")
    for x, name in ((160, "output"), (430, "backward sums"), (700, "partial sums")):
        d.box(x, 188, 140, 34, name, "sums")
        d.arrow([(x + 70, 154), (x + 70, 188)], "sums")
        d.arrow([(x + 70, 222), (x + 70, 260)], "sums")
    d.box(130, 260, 200, 60, "neuron unit\npotential, spike, mask", "masks")
    d.box(400, 260, 200, 60, "gradient unit\ngradient of the potential", "gradients")
    d.box(670, 260, 200, 60, "optimiser unit\nmomentum, new weights", "weights")
    d.box(90, 374, 110, 50, "spikes\nbuffer", "spikes")
    d.box(220, 374, 150, 50, "potentials, masks\nbuffer", "masks")
    d.box(400, 374, 150, 50, "gradients\nbuffer", "gradients")
    d.box(630, 374, 140, 50, "weights\nbuffer", "weights")
    d.box(800, 374, 140, 50, "transposition\nspikes by position", "spikes")
    d.arrow([(160, 320), (160, 374)], "spikes")
    d.arrow([(280, 320), (280, 374)], "masks")
    d.arrow([(475, 320), (475, 374)], "gradients")
    d.arrow([(720, 320), (720, 374)], "weights")
    d.arrow([(350, 374), (350, 345), (430, 345), (430, 320)], "masks")
    d.arrow([(350, 345), (350, 100), (400, 100)], "masks")
    d.arrow([(110, 374), (110, 345), (70, 345), (70, 116), (130, 116)], "spikes")
    d.arrow([(540, 374), (540, 345), (618, 345), (618, 116), (600, 116)], "gradients")
    d.arrow([(618, 116), (670, 116)], "gradients")
    d.arrow([(645, 374), (645, 50), (230, 50), (230, 78)], "weights")
    d.arrow([(500, 50), (500, 78)], "weights")
    d.arrow([(145, 424), (145, 448), (870, 448), (870, 424)], "spikes")
    d.arrow([(920, 374), (920, 116), (870, 116)], "spikes")
    d.box(90, 480, 850, 40, "DMA: every tensor that does not fit goes to DRAM and comes back in parts")
    for x in (295, 475, 700):
        d.arrow([(x, 424), (x, 480)], both=True)
    d.box(90, 574, 850, 44, "DRAM channels\nbanks, rows, refresh")
    d.arrow([(515, 520), (515, 574)], both=True)
    return d


def pipeline() -> Drawing:
    """The same three layers and two micro-batches, without overlap and end to end."""
    d = Drawing(
        980, 380, "Without a pipeline, and end to end: forward, backward and weight update overlap tile by tile"
    )
    unit, left = 44, 150
    rows = ("forward", "backward", "weight update")
    for panel, (title, jobs) in enumerate((("pipeline: none", _serial()), ("pipeline: end_to_end", _overlapped()))):
        top = 50 + 180 * panel
        d.text(20, top - 18, title, "title", "start")
        for row, name in enumerate(rows):
            d.text(left - 14, top + 38 * row + 21, name, "plain", "end")
        last = 0.0
        for row, start, length, layer, micro_batch in jobs:
            colour = ("spikes", "gradients")[micro_batch]
            d.bar(left + unit * start, top + 38 * row, unit * length - 2, 30, f"{layer}", colour, row != 1)
            last = max(last, start + length)
        d.arrow([(left, top + 122), (left + unit * last, top + 122)], both=True)
        d.text(left + unit * last / 2, top + 140, "one training step")
    d.text(left + unit * 12.2, 246, "numbers: layers; blue: first micro-batch,", "soft", "start")
    d.text(left + unit * 12.2, 264, "orange: second", "soft", "start")
    return d


Job = tuple[int, float, float, int, int]
"""Row, start, length, layer and micro-batch of a bar."""


def _serial() -> Iterator[Job]:
    time = 0.0
    for micro_batch in (0, 1):
        for row, layers in ((0, (1, 2, 3)), (1, (2, 1)), (2, (3, 2, 1))):
            for layer in layers:
                yield row, time, 1, layer, micro_batch
                time += 1


def _overlapped() -> Iterator[Job]:
    for micro_batch in (0, 1):
        start = 3.0 * micro_batch
        for number, layer in enumerate((1, 2, 3)):
            yield 0, start + number, 1, layer, micro_batch
        for number, layer in enumerate((2, 1)):
            yield 1, start + 3.2 + number, 1, layer, micro_batch
        for number, layer in enumerate((3, 2, 1)):
            yield 2, start + 3.4 + number, 1, layer, micro_batch


def look_up_element() -> Drawing:
    """Four weights make a table of sixteen sums; four spikes choose one of them."""
    d = Drawing(980, 400, "A look-up element: the sums of every subset of four weights, indexed by four spikes")
    for number in range(4):
        d.box(30, 60 + 46 * number, 90, 36, f"w{number}", "weights")
        d.box(30 + 24 * number, 300, 22, 32, str((1, 0, 1, 1)[number]), "spikes")
    d.text(75, 46, "k = 4 weights")
    d.text(78, 352, "k spikes of a position")
    d.box(180, 110, 110, 60, "build\none sum a cycle", "weights")
    d.arrow([(120, 140), (180, 140)], "weights")
    entries = (
        "0000  0",
        "0001  w0",
        "0010  w1",
        "0011  w0 + w1",
        "...",
        "1101  (w0 + w2) + w3",
        "...",
        "1111  all four",
    )
    d.text(440, 46, "table of 2^k entries, two of them in turn")
    for number, entry in enumerate(entries):
        d.box(350, 60 + 27 * number, 180, 25, "", "sums" if entry.startswith("1101") else "plain")
        d.text(362, 77 + 27 * number, entry, "plain", "start")
    d.arrow([(290, 140), (350, 140)], "weights")
    d.arrow([(124, 316), (320, 316), (320, 208), (350, 208)], "spikes")
    d.text(222, 308, "index 1101")
    d.box(600, 178, 120, 60, "adder tree\nover G lanes", "sums")
    d.arrow([(530, 208), (600, 208)], "sums")
    d.arrow([(640, 300), (640, 238)], "sums")
    d.arrow([(680, 300), (680, 238)], "sums")
    d.text(660, 318, "the other lanes")
    d.box(790, 178, 150, 60, "accumulators\none a position", "sums")
    d.arrow([(720, 208), (790, 208)], "sums")
    d.arrow([(830, 178), (830, 140), (660, 140), (660, 178)], "sums")
    d.text(745, 132, "next tile: partial sum")
    d.text(
        490,
        384,
        "One look-up replaces k additions. A row has G elements; an array has M rows that see the same spikes.",
    )
    return d


def backward_unit() -> Drawing:
    """What is left out, and where: gradients that are zero, outputs whose mask is zero."""
    d = Drawing(980, 340, "The sparse backward unit: two kinds of zeros cost nothing")
    d.box(30, 40, 190, 62, "gradients\nzeros left out where\nthey are made", "gradients")
    d.box(30, 138, 190, 62, "weight rows\none for each gradient,\nfrom banks", "weights")
    d.box(30, 236, 190, 62, "masks\nof a work item's\nchannel tile", "masks")
    d.box(300, 236, 160, 62, "compactor\nlists the active\nchannels", "masks")
    d.box(300, 138, 160, 62, "selection\nL active channels\na cycle", "weights")
    d.box(540, 88, 170, 62, "L lanes\nmultiply, accumulate", "gradients")
    d.box(790, 88, 160, 62, "sums\nof active outputs", "sums")
    d.arrow([(220, 71), (620, 71), (620, 88)], "gradients")
    d.arrow([(220, 169), (300, 169)], "weights")
    d.arrow([(220, 267), (300, 267)], "masks")
    d.arrow([(380, 236), (380, 200)], "masks")
    d.arrow([(460, 169), (500, 169), (500, 119), (540, 119)], "weights")
    d.arrow([(710, 119), (790, 119)], "sums")
    d.box(
        540,
        210,
        410,
        88,
        "items in flight: I\nneighbouring positions take turns, so that an adder's\nlatency is not waited for",
        "plain",
    )
    d.arrow([(625, 210), (625, 150)], "plain")
    d.text(
        490, 328, "A gradient costs about max(ceil(active / L), adder latency / I) cycles; empty masks never come here."
    )
    return d


def memory() -> Drawing:
    """The way of a tensor between its buffer and the DRAM's banks."""
    d = Drawing(980, 330, "Memory: buffers with ports, DMA in chunks, DRAM channels with banks")
    d.text(110, 36, "buffers on the chip")
    for number, name in enumerate(("spikes", "weights", "potentials, masks", "gradients", "partial sums")):
        colour = ("spikes", "weights", "masks", "gradients", "sums")[number]
        d.box(30, 50 + 46 * number, 160, 36, name, colour)
    d.box(250, 50, 110, 220, "ports\nbanks x width\na cycle")
    d.arrow([(190, 160), (250, 160)], both=True)
    d.box(420, 50, 150, 220, "DMA\none channel a stream,\nchunks under way\nat once,\nlarge tensors staged\nin parts")
    d.arrow([(360, 160), (420, 160)], both=True)
    d.box(630, 50, 130, 220, "interleave\naddress to channel,\nbank, row, column")
    d.arrow([(570, 160), (630, 160)], both=True)
    for number in range(3):
        y = 50 + 76 * number
        d.box(830, y, 120, 68, f"channel {number}\ncontroller, banks,\nrefresh")
        d.arrow([(760, y + 34), (830, y + 34)], both=True)
    d.text(
        490, 312, "An engine that finds no operand is starved for DRAM read; one whose results find no room is blocked."
    )
    return d


DRAWINGS: dict[str, Callable[[], Drawing]] = {
    "chip": chip,
    "pipeline": pipeline,
    "look_up_element": look_up_element,
    "backward_unit": backward_unit,
    "memory": memory,
}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        (folder / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
