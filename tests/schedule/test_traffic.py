"""DRAM bytes in closed form equal the simulation's, whatever fits, for every pipeline and cut of the work."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tests.end_to_end.steps import make_trace, tiny_config
from tlm.schedule.placement import place
from tlm.schedule.step_counts import StepCounts
from tlm.schedule.traffic import count_traffic
from tlm.simulation import simulate
from workloads.network import INPUT, load_network

STEPS = [
    ("direct", "conv", 9),
    ("spikes", "conv", 6),
    ("spikes", "linear", 9),
    ("signed", "linear", 5),
    ("direct", "pool", 6),
    ("spikes", "pool", 6),
    ("spikes", "wide", 6),
    ("spikes", "residual", 2),
]
BUFFERS = {"spikes": 400, "weights": 800, "potentials": 6000, "gradients": 8000, "partial_sums": 1700}
"""The largest size drawn for each: enough for everything, or nearly so; `SHORTCUTS` times as much with shortcuts."""
SHORTCUTS = 3


def configurations() -> st.SearchStrategy[tuple[dict[str, float], tuple[str, ...]]]:
    """Buffers' bytes, and overrides of everything else."""
    shares = st.fixed_dictionaries({name: st.sampled_from([0.15, 0.3, 0.45, 0.7, 1]) for name in BUFFERS})
    return st.builds(
        lambda share, pipeline, flight, part, tile, rows, arrays, skip, potentials: (
            {name: BUFFERS[name] * share[name] for name in BUFFERS},
            (
                f"pipeline={pipeline}",
                f"micro_batches_in_flight={flight}",
                f"dma.part_bytes={part}",
                f"backward_engine.channel_tile={tile}",
                f"forward_engine.rows={rows}",
                f"weight_update_engine.arrays={arrays}",
                f"lut.skip_zero_tiles={skip}",
                f"potentials={potentials}",
            ),
        ),
        shares,
        st.sampled_from(["none", "layer", "end_to_end"]),
        st.integers(1, 3),
        st.sampled_from([1, 100, 1000]),
        st.integers(2, 5),
        st.integers(1, 4),
        st.integers(1, 3),
        st.sampled_from(["true", "false"]),
        st.sampled_from(["store", "recompute"]),
    )


@settings(max_examples=30, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.sampled_from(STEPS), configurations())
def test_a_step_moves_what_was_counted_or_is_refused(
    step: tuple[str, str, int], configuration: tuple[dict[str, float], tuple[str, ...]]
) -> None:
    """No buffer is so small that the pipeline deadlocks: what cannot work is refused before it starts."""
    sizes, overrides = configuration
    more = SHORTCUTS if step[1] == "residual" else 1
    buffers = (f"buffers.{name}_bytes={int(size * more)}" for name, size in sizes.items())
    trace, config = make_trace(*step), tiny_config(*buffers, *overrides)
    try:
        placement = place(trace.network, trace.batch, config)
    except InputError:
        assume(False)
    counts = StepCounts(trace)
    expected = count_traffic(trace.network, trace.batch, config, placement, counts)
    result = simulate(trace, config, counts=counts)
    assert {k: v for k, v in result.dram_read_bytes.items() if v} == expected.read_by_stream()
    assert {k: v for k, v in result.dram_written_bytes.items() if v} == expected.written_by_stream()


def test_layers_are_told_apart() -> None:
    """Two linear layers of 24 -> 7 -> 3, five samples in micro-batches of two, everything on the chip."""
    trace, config = make_trace("spikes", "linear", 2), tiny_config()
    traffic = count_traffic(trace.network, 5, config, place(trace.network, 5, config), StepCounts(trace))
    assert +traffic.read == {
        ("inputs", INPUT): 12 + 12 + 6,  # 2 x 24 bits a sample
        ("weights", 0): 168 * 2,
        ("weights", 1): 21 * 2,
        ("optimiser_state", 0): 168 * 8,
        ("optimiser_state", 1): 21 * 8,
    }
    assert +traffic.written == {
        ("weights", 0): 168 * 2,
        ("weights", 1): 21 * 2,
        ("optimiser_state", 0): 168 * 8,
        ("optimiser_state", 1): 21 * 8,
    }


@pytest.mark.parametrize(("name", "batch"), [("digits-conv", 32), ("cifar-cnn", 8)])
def test_the_preset_can_place_every_network(name: str, batch: int) -> None:
    from tlm.config import load_config

    placement = place(load_network(name), batch, load_config())
    for buffer, used in placement.used_bytes.items():
        assert placement.staging_bytes[buffer] <= used <= placement.capacity_bytes[buffer]
