"""The transposition unit: spikes packed by channels for the forward pass become indices packed by points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from myhdl import Signal, always_comb, block, modbv

from rtl_models.arithmetic.pipeline import delay_line, flag_line
from rtl_models.errors import InputError
from rtl_models.pipeline import LONGEST_LATENCY_CYCLES
from rtl_models.units import Field, Stream, Unit

LARGEST_K = 8
MOST_BLOCKS = 4096


@dataclass(frozen=True)
class TranspositionGeometry:
    """Blocks of k points x k channels that are transposed in a cycle, and after how many cycles they leave.

    Raises InputError for a value outside its range.
    """

    k: int = 4
    blocks: int = 64
    latency_cycles: int = 2
    """Cycles from a word's transfer to its indices being valid; `latency_cycles` of tlm's configuration."""

    def __post_init__(self) -> None:
        for name, most in (("k", LARGEST_K), ("blocks", MOST_BLOCKS), ("latency_cycles", LONGEST_LATENCY_CYCLES)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InputError(name, "transposition unit", value, f"1..{most}")

    @property
    def width_bits(self) -> int:
        """Bits of a word."""
        return self.k * self.k * self.blocks


def transposition_unit(geometry: TranspositionGeometry) -> Unit:
    """Return the transposition unit with the streams spikes (in) and indices (out), one word out for each word in.

    Both have one field, `data`: the blocks, the first in the lowest bits, k^2 bits each. Bit j k + i of a block is, on
    the way in, channel i of point j, and on the way out point i of channel j. The word is wired crosswise in front of
    `latency_cycles` registers, which all stand still while indices wait; in every other cycle a word is taken.
    """
    data = (Field("data", geometry.width_bits),)
    return Unit(
        name="transposition",
        block=transposition,
        parameters={"k": geometry.k, "latency": geometry.latency_cycles},
        inputs=(Stream("spikes", data),),
        outputs=(Stream("indices", data),),
    )


@block
def transposition(
    clk: Any,
    rst: Any,
    spikes_valid: Any,
    spikes_ready: Any,
    spikes_data: Any,
    indices_valid: Any,
    indices_ready: Any,
    indices_data: Any,
    k: int,
    latency: int,
) -> Any:
    """One transposition unit; ports and behaviour as `transposition_unit` says."""
    moving, waiting = (Signal(bool(0)) for _ in range(2))
    crossed = Signal(modbv(0)[len(spikes_data) :])

    @always_comb
    def handshake() -> None:
        moving.next = indices_ready or not waiting
        spikes_ready.next = indices_ready or not waiting
        indices_valid.next = waiting

    return (
        handshake,
        cross_blocks(spikes_data, crossed, k),
        flag_line(clk, rst, moving, spikes_valid, waiting, latency),
        delay_line(clk, moving, crossed, indices_data, latency),
    )


@block
def cross_blocks(data: Any, crossed: Any, k: int) -> Any:
    """Drive `crossed` with the blocks of k x k bits in `data`, each transposed."""
    BLOCKS = len(data) // (k * k)

    @always_comb
    def cross() -> None:
        for b in range(BLOCKS):
            for i in range(k):
                for j in range(k):
                    crossed.next[b * k * k + i * k + j] = data[b * k * k + j * k + i]

    return cross
