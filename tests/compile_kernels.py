"""Compile what nearly every test needs, once: test processes that start together would each compile all of it.

python -m tests.compile_kernels
"""

from __future__ import annotations

from rtl_models.simulators.build import build_unit, verilator_path
from tests.end_to_end.steps import BANKED, make_trace, tiny_config
from tests.rtl_models.blocks import fifo_unit
from tlm.simulation import simulate

STEPS = [("spikes", "conv", 9), ("direct", "conv", 9)]


def main() -> None:
    """Simulate steps that take every kernel of the reference, the engines and the banked DRAM into use.

    Of Verilated models the smallest brings the run-time library and the headers of all.
    """
    for step in STEPS:
        simulate(make_trace(*step), tiny_config())
    simulate(make_trace(*STEPS[0]), tiny_config(*BANKED))
    if verilator_path() is not None:
        build_unit(fifo_unit(4))


if __name__ == "__main__":
    main()
