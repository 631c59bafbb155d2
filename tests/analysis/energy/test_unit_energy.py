"""What an operation costs: composed of the constants, as its docstring says."""

from __future__ import annotations

import pytest

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32
from tests.end_to_end.steps import tiny_config
from tlm.analysis.energy.unit_energy import UnitEnergy
from tlm.analysis.technology.constants import constants
from tlm.analysis.technology.range import Range
from tlm.analysis.technology.scaling import energy_28nm, scale_to_28nm
from tlm.config import NeuronUnitConfig, load_config

UNIT = UnitEnergy(constants())


def test_arithmetic_by_width() -> None:
    assert UNIT.add(BINARY32) == energy_28nm("add_binary32")
    assert UNIT.add(BINARY16) == UNIT.add(BFLOAT16) == energy_28nm("add_binary16")
    assert UNIT.multiply(BINARY32) == energy_28nm("multiply_binary32")
    assert UNIT.multiply(BINARY16) == UNIT.multiply(BFLOAT16) == energy_28nm("multiply_binary16")


def test_a_bank_costs_as_the_root_of_its_size() -> None:
    """Horowitz: 64 bits of 8 KB are 10 pJ and of 32 KB 20 pJ at 45 nm; 1 MB's 100 pJ lies within 15 per cent."""
    to_28nm = scale_to_28nm("45 nm").nominal
    assert UNIT.sram_bits(64, 8 * 2**10).nominal == pytest.approx(10 * to_28nm, rel=0.01)
    assert UNIT.sram_bits(64, 32 * 2**10).nominal == pytest.approx(20 * to_28nm, rel=0.01)
    assert UNIT.sram_bits(64, 2**20).nominal == pytest.approx(100 * to_28nm, rel=0.15)


def test_a_byte_of_a_buffer_is_its_bank_and_its_way() -> None:
    found = UNIT.buffer_byte(2**20, 32, Range(4.0, 9.0, 16.0))
    bank = UNIT.sram_bits(8, 32 * 2**10)
    wire, length = constants().range("wire"), constants().range("wire_length")
    assert found.nominal == pytest.approx(bank.nominal + wire.nominal * length.nominal * 3.0 * 8)
    assert found.low == pytest.approx(bank.low + wire.low * length.low * 2.0 * 8)
    assert found.high == pytest.approx(bank.high + wire.high * length.high * 4.0 * 8)


def test_more_banks_and_smaller_buffers_take_less() -> None:
    side = Range.exact(1.0)
    assert UNIT.buffer_byte(2**20, 64, side).nominal < UNIT.buffer_byte(2**20, 32, side).nominal
    assert UNIT.buffer_byte(2**19, 32, side).nominal < UNIT.buffer_byte(2**20, 32, side).nominal


@pytest.mark.parametrize(("k", "additions", "entries"), [(1, 0, 1), (2, 1, 3), (4, 11, 15), (8, 247, 255)])
def test_a_table(k: int, additions: int, entries: int) -> None:
    found = UNIT.table_build(load_config("h2learn", (f"lut.k={k}",)))
    expected = UNIT.add(BINARY16).nominal * additions + UNIT.table_bits(16).nominal * entries
    assert found.nominal == pytest.approx(expected)


def test_vector_operations() -> None:
    config = tiny_config()
    multiply, add, compare = (e.nominal for e in (UNIT.multiply(BINARY32), UNIT.add(BINARY32), UNIT.compare()))
    assert UNIT.neuron(config).nominal == pytest.approx(multiply + add + 3 * compare)
    any_reset = config.model_copy(update={"neuron_unit": NeuronUnitConfig(any_reset=True)})
    assert UNIT.neuron(any_reset).nominal == pytest.approx(multiply + 2 * add + 3 * compare)
    assert UNIT.gradient(config).nominal == pytest.approx(4 * multiply + 3 * add)
    assert UNIT.optimise(config).nominal == pytest.approx(4 * multiply + 3 * add)
    assert UNIT.scale_sum(config).nominal == pytest.approx(multiply + add)
    assert UNIT.flip_flop() == energy_28nm("flip_flop")
