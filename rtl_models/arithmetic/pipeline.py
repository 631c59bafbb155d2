"""Chains of registers that move together under one enable."""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always, always_comb, block, modbv

ALWAYS = True  # an enable that never stops


@block
def delay_line(clk: Any, enable: Any, d: Any, q: Any, stages: int) -> Any:
    """Drive `q` with `d` as it was `stages` (1 or more) enabled cycles ago. Payload: not reset.

    d, q: of the same width; enable: 1 bit, or ALWAYS.
    """
    held = [Signal(modbv(0)[len(d) :]) for _ in range(stages)]

    @always(clk.posedge)
    def shift() -> None:
        if enable:
            held[0].next = d
            for i in range(1, stages):
                held[i].next = held[i - 1]

    @always_comb
    def tap() -> None:
        q.next = held[stages - 1]

    return shift, tap


def delayed(d: Any, stages: int) -> Any:
    """Return the signal for `d` after `stages` registers: `d` itself for none, where `delay_line` is left out."""
    return Signal(modbv(0)[len(d) :]) if stages else d


@block
def flag_line(clk: Any, rst: Any, enable: Any, d: Any, q: Any, stages: int) -> Any:
    """Drive the 1-bit `q` with `d` as it was `stages` enabled cycles ago; all stages are 0 after a reset."""
    if stages == 0:

        @always_comb
        def wire() -> None:
            q.next = d

        return wire

    held = [Signal(bool(0)) for _ in range(stages)]

    @always(clk.posedge)
    def shift() -> None:
        if rst:
            for i in range(stages):
                held[i].next = 0
        elif enable:
            held[0].next = d
            for i in range(1, stages):
                held[i].next = held[i - 1]

    @always_comb
    def tap() -> None:
        q.next = held[stages - 1]

    return shift, tap
