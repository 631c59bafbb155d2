"""The area of a configuration: sums equal the total, more of anything is larger, twice the arrays twice their size."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.analysis.area.chip_area import (
    BACKWARD,
    BUFFERS,
    CONTROL,
    FORWARD,
    GROUPS,
    INTERFACE,
    UPDATE,
    VECTOR,
    ChipArea,
    check_budget,
    chip_area,
)
from tlm.analysis.area.component import Component
from tlm.analysis.area.report import describe_area
from tlm.analysis.technology.constants import constants
from tlm.analysis.technology.range import Range
from tlm.config import Config, load_config

COUNTS = [
    ("forward_engine.arrays", 3),
    ("forward_engine.rows", 64),
    ("forward_engine.accumulator_depth", 1024),
    ("weight_update_engine.arrays", 3),
    ("weight_update_engine.rows", 64),
    ("weight_update_engine.accumulator_depth", 1024),
    ("backward_engine.units", 192),
    ("backward_engine.channel_tile", 64),
    ("neuron_unit.width", 64),
    ("gradient_unit.width", 64),
    ("optimiser_unit.width", 64),
    ("transposition_unit.width", 1024),
    ("lut.lanes", 16),
    ("buffers.spikes_bytes", 2**21),
    ("buffers.weights_bytes", 2**22),
    ("buffers.potentials_bytes", 2**22),
    ("buffers.gradients_bytes", 2**22),
    ("buffers.partial_sums_bytes", 2**22),
    ("buffers.output_bytes", 2**20),
    ("buffers.backward_sums_bytes", 2**18),
    ("dram.channels", 8),
]


def area(*overrides: str) -> ChipArea:
    return chip_area(load_config("h2learn", overrides))


def ends(found: Range) -> tuple[float, float, float]:
    return found.low, found.nominal, found.high


def test_the_sums_are_those_of_the_components() -> None:
    found = area()
    for end in ("low", "nominal", "high"):
        total = sum(getattr(part.area_mm2, end) for part in found.components)
        assert getattr(found.area_mm2, end) == pytest.approx(total)
        assert sum(getattr(found.group_mm2(group), end) for group in GROUPS) == pytest.approx(total)
        transistors = sum(getattr(part.transistors, end) for part in found.components)
        assert getattr(found.transistors, end) == pytest.approx(transistors)
    assert found.memory_bits == sum(part.bits for part in found.components)
    assert {part.group for part in found.components} == set(GROUPS)


def test_every_component_stands_there_once() -> None:
    names = [(part.group, part.name) for part in area().components]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("key", "value"), COUNTS)
def test_twice_of_anything_is_larger_at_both_ends(key: str, value: int) -> None:
    once, twice = area(f"{key}={value}").area_mm2, area(f"{key}={2 * value}").area_mm2
    assert all(less < more for less, more in zip(ends(once), ends(twice), strict=True))


@pytest.mark.parametrize(("engine", "group"), [("forward_engine", FORWARD), ("weight_update_engine", UPDATE)])
@pytest.mark.parametrize("key", ["arrays", "rows"])
def test_twice_the_arrays_or_rows_take_twice_the_transistors(engine: str, group: str, key: str) -> None:
    once, twice = area(f"{engine}.{key}=5"), area(f"{engine}.{key}=10")
    for name in ("rows", "tables", "accumulator memories"):
        before, after = once.component(group, name), twice.component(group, name)
        assert (after.count, after.bits) == (2 * before.count, 2 * before.bits)
        assert ends(after.transistors) == pytest.approx(ends(before.transistors * 2))
        assert ends(after.area_mm2) == pytest.approx(ends(before.area_mm2 * 2))


def test_twice_the_units_take_twice_the_transistors() -> None:
    once, twice = area("backward_engine.units=7"), area("backward_engine.units=14")
    assert ends(twice.group_mm2(BACKWARD)) == pytest.approx(ends(once.group_mm2(BACKWARD) * 2))


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 300))
def test_area_grows_with_arrays_rows_and_units(arrays: int, rows: int, units: int) -> None:
    def nominal(arrays: int, rows: int, units: int) -> float:
        engine = f"forward_engine={{arrays: {arrays}, rows: {rows}}}"
        return area(engine, f"backward_engine.units={units}").area_mm2.nominal

    here = nominal(arrays, rows, units)
    assert here < nominal(arrays + 1, rows, units)
    assert here < nominal(arrays, rows + 1, units)
    assert here < nominal(arrays, rows, units + 1)


def test_a_buffer_by_hand() -> None:
    """1 MiB of two-port cells: bits x 0.127 um2 x 1.4 / 0.6."""
    found = area("buffers.output_bytes=1048576").component(BUFFERS, "output")
    assert found.bits == 2**23
    assert found.area_mm2.nominal == pytest.approx(2**23 * 0.127e-6 * 1.4 / 0.6)
    assert found.transistors == Range.exact(6 * 2**23)
    one_port = area("buffers.output_bytes=1048576", "buffer_ports.output.ports=1").component(BUFFERS, "output")
    assert one_port.area_mm2.nominal == pytest.approx(found.area_mm2.nominal / 1.4)


@pytest.mark.parametrize(("group", "name"), [(FORWARD, "forward_engine"), (UPDATE, "weight_update_engine")])
def test_accumulator_memories_by_hand(group: str, name: str) -> None:
    """A memory a row of 32-bit sums, read and written in every cycle: two ports, in a small array."""
    found = area(f"{name}={{arrays: 3, rows: 5, accumulator_depth: 256}}").component(group, "accumulator memories")
    assert (found.count, found.bits) == (15, 15 * 256 * 32)
    cell, second, efficiency = (
        constants().range(constant).nominal for constant in ("sram_cell", "second_port_area", "small_array_efficiency")
    )
    assert found.area_mm2.nominal == pytest.approx(found.bits * cell * second / efficiency / 1e6)


def test_how_many_vector_units_there_are() -> None:
    found = area("weight_update_engine={arrays: 3, rows: 5}", "neuron_unit.width=6", "gradient_unit.width=7")
    counts = {c.name: c.count for c in found.components if c.group == VECTOR}
    assert counts == {
        "neuron unit": 6,
        "gradient unit": 7,
        "optimiser unit": load_config("h2learn").optimiser_unit.width,
        "weight gradient unit": 3 * 5,  # one a row of the update engine
        "transposition unit": 1,
    }


def test_control_is_a_share_of_the_logic() -> None:
    found = area()
    logic = sum(c.transistors.nominal for c in found.components if not c.bits and c.group not in (BUFFERS, CONTROL))
    share = constants().range("control_share").nominal
    assert found.component(CONTROL, "assumed share").transistors.nominal == pytest.approx(share * logic)


@pytest.mark.parametrize(
    ("dram", "name", "count", "area_mm2"),
    [
        ("{standard: HBM2, channels: 8}", "HBM2 stacks", 1, 11.25),
        ("{standard: HBM2, channels: 9}", "HBM2 stacks", 2, 22.5),
        ("{standard: HBM3, channels: 16}", "HBM3 stacks", 1, 11.25),
        ("{standard: DDR4, channels: 2}", "DDR4 channels", 2, 14.0),
        ("{standard: LPDDR5, channels: 4}", "LPDDR5 channels", 4, 6.0),
        ("{model: flat, channels: 4}", "HBM2 stacks", 1, 11.25),
    ],
)
def test_the_interface_by_standard(dram: str, name: str, count: int, area_mm2: float) -> None:
    found = area(f"dram={dram}").component(INTERFACE, name)
    assert found.count == count
    assert found.area_mm2.nominal == pytest.approx(area_mm2)
    assert found.transistors.high == 0


def test_more_entries_in_the_tables() -> None:
    """2^k - 1 entries twice, of 16 bits: each k more than doubles the bits."""
    bits = [area(f"lut.k={k}").component(FORWARD, "tables").bits for k in range(1, 9)]
    assert bits == [192 * 16 * 2 * (2**k - 1) * 16 for k in range(1, 9)]


def test_adders_hold_two_groups_of_operands_instead_of_tables() -> None:
    """2 x k operands of 16 bits a lane."""
    adders = area("forward_engine.element=adders")
    assert adders.component(FORWARD, "operands").bits == 192 * 16 * 2 * 4 * 16
    assert adders.group_mm2(FORWARD).nominal < area().group_mm2(FORWARD).nominal
    assert adders.group_mm2(UPDATE) == area().group_mm2(UPDATE)


def test_bfloat16_is_known_too() -> None:
    assert area("arithmetic.value_format=bfloat16").area_mm2.nominal == pytest.approx(area().area_mm2.nominal, rel=0.05)


def test_formats_that_were_not_synthesised() -> None:
    with pytest.raises(InputError, match=r"^area: transistors of the neuron unit were not counted, got 'binary32 and"):
        area("arithmetic.value_format=binary32")


def test_a_component_that_is_not_there() -> None:
    chip = ChipArea((Component("a", "b", 1, Range.exact(1), 0, 0.0, Range.exact(1), "a count"),))
    with pytest.raises(InputError, match=r"^area: no such component, got 'a: c', allowed: a: b$"):
        chip.component("a", "c")


def test_the_budget() -> None:
    found = area()
    check_budget(found, found.area_mm2.nominal, "--budget")
    words = (
        r"--budget: the chip takes \d+\.\d mm2 \(\d+\.\d to \d+\.\d\), more than its budget, "
        r"got '20 mm2', allowed: \d+\.\d mm2 or more, or a smaller chip"
    )
    with pytest.raises(InputError) as caught:
        check_budget(found, 20, "--budget")
    assert re.fullmatch(words, str(caught.value))


def test_the_description_holds_the_same_sums() -> None:
    config = Config()
    found = chip_area(config)
    described = describe_area(found, config)
    assert described["area_mm2"] == found.area_mm2.to_dict()
    assert sum(part["area_mm2"]["nominal"] for part in described["components"]) == pytest.approx(found.area_mm2.nominal)
    assert described["v100"]["area_ratio"]["nominal"] == pytest.approx(815 / found.area_mm2.nominal)
    assert described["v100"]["transistor_ratio"]["low"] == pytest.approx(21.1e9 / found.transistors.high)
    assert described["provisional"] is config.provisional
