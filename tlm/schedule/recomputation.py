"""Which layers' potentials and masks are made again before their backward sums, and the room where that happens.

The forward pass of such a layer leaves its spikes only. Before the backward sums of a micro-batch reach the layer, the
forward engine looks its spikes up again for every timestep and the neuron unit makes potentials and masks anew, in a
window that holds a layer or, where there is room, two neighbours: one in use while the next is made. A layer that does
not fit is stored as without recomputation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rtl_models.errors import InputError
from tlm.schedule.staging import Window

BEFORE, PARTS, RECOMPUTED_WINDOW = "timestep_before_potentials", "state_potentials", "recomputed_potentials"


def plan_recomputation(
    layer_bytes: Mapping[int, int], windows: dict[str, Window], capacity_bytes: int
) -> frozenset[int]:
    """Return the layers that are recomputed, and add their window to `windows`.

    layer_bytes: potentials and masks of one micro-batch, by layer. Raises InputError if not even one layer fits beside
    the timestep before, which every forward pass needs, and the parts of stored layers.
    """
    before, parts = windows[BEFORE].total_bytes, windows[PARTS].total_bytes
    room = capacity_bytes - before
    if max(layer_bytes.values()) > room:
        room -= parts
    recomputed = [layer for layer, size in layer_bytes.items() if size <= room]
    if not recomputed:
        least = before + min(max(layer_bytes.values()), min(layer_bytes.values()) + parts)
        what = "the potentials buffer cannot hold any layer that is to be recomputed"
        raise InputError(what, "buffers.potentials_bytes", capacity_bytes, f"at least {least}")
    size = min(room, _largest_neighbours([layer_bytes[layer] for layer in recomputed]))
    windows[RECOMPUTED_WINDOW] = Window(RECOMPUTED_WINDOW, "potentials", size, always=True)
    windows[BEFORE] = replace(windows[BEFORE], always=True)
    return frozenset(recomputed)


def _largest_neighbours(sizes: Sequence[int]) -> int:
    """Most bytes of two layers made one after the other; after the first layer comes the next micro-batch's last."""
    return max(size + after for size, after in zip(sizes, [*sizes[1:], sizes[0]], strict=True))
