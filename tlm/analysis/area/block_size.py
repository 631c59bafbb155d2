"""What one hardware block takes: logic, and the bits of its memories, which are no flip-flops on a real chip."""

from __future__ import annotations

from dataclasses import dataclass

from tlm.analysis.technology.range import Range

FLIP_FLOP_TRANSISTORS = 16


@dataclass(frozen=True)
class BlockSize:
    """One block with its memories taken out and counted as bits.

    `logic` counts the transistors of gates and of the flip-flops that stay flip-flops (`flip_flops` of them);
    `latch_bits` and `sram_bits` are the memories.
    """

    logic: Range
    flip_flops: float
    latch_bits: int = 0
    sram_bits: int = 0
