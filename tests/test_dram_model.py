"""The DRAM of a configuration: which model is built, and what is refused before anything is done."""

from __future__ import annotations

import re

import pytest

from rtl_models.errors import InputError
from tlm.config import load_config
from tlm.dram_model import build_dram, check_dram
from tlm.kernel import Simulation
from tlm.memory.banked_dram import BankedDram
from tlm.memory.controller import CONTROLLERS
from tlm.memory.flat_dram import FlatDram


def test_the_preset_is_two_stacks_of_banked_hbm2(simulation: Simulation) -> None:
    dram = build_dram("dram", simulation, load_config().dram, 1000)
    assert isinstance(dram, BankedDram)
    assert dram.peak_bytes_per_us == 512_000
    assert (dram.standard.family, dram.interleaving.channels) == ("HBM2", 16)


def test_a_flat_dram_has_the_bandwidth_it_is_given(simulation: Simulation) -> None:
    config = load_config("h2learn", ("dram={model: flat, channels: 3, channel_bytes_per_us: 700}",)).dram
    dram = build_dram("dram", simulation, config, 0)
    assert isinstance(dram, FlatDram)
    assert (dram.peak_bytes_per_us, dram.capacity_bytes) == (2100, 1)


@pytest.mark.parametrize(
    ("overrides", "capacity_bytes", "words"),
    [
        (
            "dram.controller=fast",
            1,
            f"dram.controller: unknown controller, got 'fast', allowed: {', '.join(CONTROLLERS)}",
        ),
        ("dram.standard=DDR9", 1, "unknown DRAM standard, got 'DDR9', allowed: .*"),
        ("dram.interleave_bytes=100", 1, "dram.interleave_bytes: blocks are not whole bursts, got 100, allowed: .*"),
        ("dram.channels=1", 2**40, f"dram.channels: the step needs {2**40} bytes of DRAM, got 1, allowed: .* or more"),
        ("dram={standard: DDR4, controller: hbm2_pc1}", 1, ".*no such number of pseudo-channels, got 1, .*"),
    ],
)
def test_mistakes_are_found_without_building(overrides: str, capacity_bytes: int, words: str) -> None:
    config = load_config("h2learn", (overrides,)).dram
    with pytest.raises(InputError) as raised:
        check_dram(config, capacity_bytes)
    assert re.fullmatch(words, str(raised.value))
    with pytest.raises(InputError, match=re.escape(str(raised.value))):
        build_dram("dram", Simulation(), config, capacity_bytes)


def test_a_flat_dram_needs_no_standard() -> None:
    check_dram(load_config("h2learn", ("dram={model: flat, standard: none, interleave_bytes: 7}",)).dram, 2**50)
