"""Compile what nearly every test needs, once: test processes that start together would each compile all of it.

python -m tests.compile_kernels
"""

from __future__ import annotations

from tests.end_to_end.steps import BANKED, make_trace, tiny_config
from tlm.simulation import simulate

STEPS = [("spikes", "conv", 9), ("direct", "conv", 9)]


def main() -> None:
    """Simulate steps that take every kernel of the reference, the engines and the banked DRAM into use."""
    for step in STEPS:
        simulate(make_trace(*step), tiny_config())
    simulate(make_trace(*STEPS[0]), tiny_config(*BANKED))


if __name__ == "__main__":
    main()
