"""Lists of DRAMs: what they mean for a configuration, and the words of every refusal."""

from __future__ import annotations

import pytest

from rtl_models.errors import InputError
from tests.end_to_end.steps import tiny_config
from tlm.analysis.bandwidth.dram_choice import DEFAULT_CHANNELS, UNLIMITED, DramChoice, parse_dram
from tlm.analysis.bandwidth.points import Workload, config_of, make_points, parse_factors
from tlm.config import Config, load_config


def with_dram(config: Config, choice: DramChoice) -> Config:
    """The configuration with one of the list's DRAMs."""
    return config_of(make_points(config, (Workload(6, 32),), parse_factors("1"), (choice,))[0])


def test_by_default_the_configured_dram_by_channels() -> None:
    config = load_config()
    choices = parse_dram(None, config)
    assert [with_dram(config, choice).dram.channels for choice in choices] == list(DEFAULT_CHANNELS)
    assert {choice.family for choice in choices} == {config.dram.standard}
    assert [choice.label for choice in parse_dram(None, tiny_config())][:2] == ["flatx1", "flatx2"]


def test_a_standard_with_channels() -> None:
    hbm2, lpddr5 = parse_dram("HBM2x2, LPDDR5x4", load_config())
    assert (hbm2.label, hbm2.family) == ("HBM2x2", "HBM2")
    dram = with_dram(load_config(), lpddr5).dram
    assert (dram.model, dram.standard, dram.channels) == ("banked", "LPDDR5", 4)


@pytest.mark.parametrize(("text", "bytes_per_us"), [("64GB/s", 64_000), ("12.8 GB/s", 12_800), ("0.001GB/s", 1)])
def test_a_bandwidth_is_one_flat_channel(text: str, bytes_per_us: int) -> None:
    (choice,) = parse_dram(text, load_config())
    config = with_dram(load_config(), choice)
    assert (config.dram.model, config.dram.channels, config.dram.channel_bytes_per_us) == ("flat", 1, bytes_per_us)


def test_unlimited_bandwidth_keeps_the_latency() -> None:
    config = with_dram(tiny_config(), UNLIMITED)
    assert config.dram.latency_ps == tiny_config().dram.latency_ps > 0
    assert config.dram.channels * config.dram.channel_bytes_per_us >= 10**12


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("HBM9x2", "HBM9"),
        ("HBM2x0", "--dram: no channels, got 'HBM2x0', allowed: 1 channel or more"),
        ("", "--dram: an empty entry in the list, got '', allowed: STANDARDxCHANNELS, .*"),
        ("HBM2x1,,HBM2x2", "--dram: an empty entry in the list, got ''"),
        ("64", "--dram: neither a standard with channels nor a bandwidth, got '64', allowed: STANDARDxCHANNELS, e.g. "),
        ("64MB/s", "--dram: neither a standard with channels nor a bandwidth, got '64MB/s'"),
        ("HBM2", "--dram: neither a standard with channels nor a bandwidth, got 'HBM2'"),
        ("0GB/s", "--dram: wrong bandwidth, got '0GB/s', allowed: more than 0 and up to 1000000 GB/s"),
        ("0.0001GB/s", "--dram: wrong bandwidth, got '0.0001GB/s'"),
        ("9999999GB/s", "--dram: wrong bandwidth, got '9999999GB/s'"),
        ("8GB/s,8.0GB/s", "--dram: is named twice, got '8GB/s'"),
    ],
)
def test_what_is_refused(text: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        parse_dram(text, load_config())
