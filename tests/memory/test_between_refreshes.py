"""The faster loop between refreshes makes every choice of the plain loop: the same commands in the same ticks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlm.memory import bank_state as b
from tlm.memory.controller import CONTROLLERS, ControllerConfig, DramChannel
from tlm.memory.standard import DramStandard, load_standard

STANDARDS = {
    "HBM2": load_standard("HBM2"),
    "HBM2-2000": load_standard("HBM2-2000"),  # two stack ids
    "refreshed often": load_standard("HBM2", ("nREFI=400", "nRFC=90")),
}
POLICIES = {
    **{name: CONTROLLERS[name] for name in ("base", "mop4clxor", "queue8", "send1", "norefresh", "hbm3_perbank_ref")},
    "tight": ControllerConfig(mapping="MOP4CLXOR", read_queue=2, write_queue=3, write_high=0.4, write_low=0.3),
}
Part = tuple[int, bool, int, int, int]  # ticks after the part before, write?, first burst, step in bursts, bursts

# Streams in order, in strides that meet few banks, and again over what waits to be written.
parts_ = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 40, 700, 4500]),
        st.booleans(),
        st.sampled_from([0, 8, 4096, 40_000, 65_541]),
        st.sampled_from([1, 1, 4, 32, 1024, 4097]),
        st.integers(1, 160),
    ),
    min_size=1,
    max_size=8,
)


def simulated(
    parts: list[Part], standard: DramStandard, policy: ControllerConfig, remembers: bool, stops: bool
) -> object:
    """Every command, count and end of a channel; `stops` halts it at every arrival and every completed transaction."""
    channel = DramChannel(standard, policy, log_commands=True, log_latencies=True)
    assert channel._constants[b.REMEMBERS_ROWS] == 1
    channel._constants[b.REMEMBERS_ROWS] = remembers
    tick = 0
    for number, (gap, is_write, first, step, bursts) in enumerate(parts):
        tick += gap
        channel.add((first + step * np.arange(bursts)) * standard.burst_bytes, is_write, number, tick)
        while stops and channel.now < tick:
            channel.run(tick, stop_at_completion=True)
    end = channel.run_until_idle()
    return end, channel.statistics, channel.completed, channel.latencies.tolist(), channel.commands.tolist()


@settings(deadline=None, derandomize=True, max_examples=120)
@given(parts_, st.sampled_from(sorted(STANDARDS)), st.sampled_from(sorted(POLICIES)), st.booleans())
def test_same_commands_in_the_same_ticks(parts: list[Part], standard: str, policy: str, stops: bool) -> None:
    case = parts, STANDARDS[standard], POLICIES[policy]
    assert simulated(*case, True, stops) == simulated(*case, False, stops)


@pytest.mark.parametrize(
    ("standard", "policy", "used"),
    [
        ("HBM2", CONTROLLERS["mop4clxor"], True),
        ("HBM2-V100", CONTROLLERS["base"], True),
        ("HBM2", CONTROLLERS["rowhit_sched"], False),
        ("HBM2", CONTROLLERS["closed_cap4"], False),
        ("HBM3", CONTROLLERS["base"], False),
        ("DDR4", CONTROLLERS["base"], False),
        ("LPDDR5", CONTROLLERS["base"], False),
    ],
)
def test_where_it_is_used(standard: str, policy: ControllerConfig, used: bool) -> None:
    assert DramChannel(load_standard(standard), policy)._constants[b.REMEMBERS_ROWS] == used


def test_not_used_where_a_rule_has_no_place() -> None:
    """A longer wait between column commands of one stack id than of the unit is a rule that the fields do not hold."""
    model = load_standard("HBM2-2000", ("nCCDS=3",))
    assert DramChannel(model, replace(CONTROLLERS["base"]))._constants[b.REMEMBERS_ROWS] == 0
