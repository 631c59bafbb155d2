"""Channel groups and words of the transposition unit against a count of the groups that elements lie in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tlm.config import load_config
from tlm.rtl_geometry import transposition_geometry
from tlm.schedule.transposition import channel_groups, words_per_tile
from workloads.network import parse_network


@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 8), st.integers(1, 4), st.integers(0, 6), st.data())
def test_words_hold_every_group_of_a_block(
    channels: int, kernel: int, k: int, lanes_log2: int, spare: int, data: st.DataObject
) -> None:
    raw = {
        "input": {"shape": [kernel, kernel, channels], "coding": "spikes"},
        "timesteps": 2,
        "layers": [{"conv": {"channels": 2, "kernel": [kernel, kernel], "stride": 1, "padding": 0}}, {"linear": 2}],
    }
    layer = parse_network(raw, "one").layers[0]
    first = data.draw(st.integers(0, layer.elements - 1))
    end = data.draw(st.integers(first + 1, layer.elements))
    lanes, blocks = 1 << lanes_log2, data.draw(st.integers(1, 12))
    overrides = (
        f"lut={{k: {k}, lanes: {lanes}}}",
        f"transposition_unit.width={blocks * k * k + min(spare, k * k - 1)}",
    )
    config = load_config("h2learn", overrides)
    groups = {(element // channels, element % channels // k) for element in range(first, end)}
    found = channel_groups(layer, first, end, k)
    assert found[1] - found[0] == len(groups)
    assert found[0] == sorted({(e // channels, e % channels // k) for e in range(layer.elements)}).index(min(groups))
    assert words_per_tile(layer, first, end, config) == -(-len(groups) * lanes // blocks)
    assert (transposition_geometry(config).blocks, transposition_geometry(config).k) == (blocks, k)


def test_whole_channel_groups_need_no_more_cycles_than_their_bits() -> None:
    """The preset: 64 blocks of 4 x 4 bits; 128 channels of a 3 x 3 kernel are 1,152 elements of 64 points."""
    raw = {
        "input": {"shape": [8, 8, 128], "coding": "spikes"},
        "timesteps": 2,
        "layers": [{"conv": {"channels": 2, "kernel": [3, 3], "stride": 1, "padding": 1}}, {"linear": 2}],
    }
    layer = parse_network(raw, "one").layers[0]
    assert words_per_tile(layer, 0, 1152, load_config()) == 1152 * 64 // 1024
