"""Address mappings against the bit fields as the reference lists them, and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_models.errors import InputError
from tlm.memory.mapping import MAPPINGS, AddressMapping, address_mapping
from tlm.memory.reference import TIMINGS_JSON
from tlm.memory.standard import DramStandard, load_standard

REFERENCE = json.loads(TIMINGS_JSON.read_text(encoding="utf-8"))["standards"]
FIELDS = {"rank": "units", "pseudochannel": "units", "sid": "stack_ids", "bankgroup": "bank_groups"}


def of(standard: DramStandard, name: str) -> AddressMapping:
    return address_mapping(name, standard.organisation, standard.burst_bytes)


def fields_by_hand(address: int, standard: DramStandard, name: str) -> dict[str, int]:
    """Bit by bit: lists of (field, bits), from the lowest bit above the burst's offset."""
    o = standard.organisation
    sizes = {
        **{"unit": o.units, "sid": o.stack_ids, "group": o.bank_groups, "bank": o.banks_per_group},
        **{"row": o.rows, "column": o.bursts_per_row},
    }
    bits = {field: size.bit_length() - 1 for field, size in sizes.items()}
    banks = ["unit", "sid", "group", "bank"]
    order = {
        "RoBaRaCoCh": [("column", bits["column"]), *((f, bits[f]) for f in banks), ("row", bits["row"])],
        "ChRaBaRoCo": [("column", bits["column"]), ("row", bits["row"]), *((f, bits[f]) for f in reversed(banks))],
        "MOP4CLXOR": [
            *[("column", 2), *((f, bits[f]) for f in banks), ("column", bits["column"] - 2), ("row", bits["row"])]
        ],
    }[name]
    rest = address // standard.burst_bytes
    found: dict[str, list[int]] = {field: [] for field in sizes}
    for field, width in order:
        for _ in range(width):
            found[field].append(rest & 1)
            rest >>= 1
    if name == "MOP4CLXOR":
        column = iter(found["column"])
        for field in (*banks, "row"):
            found[field] = [bit ^ next(column, 0) for bit in found[field]]
    return {field: sum(bit << i for i, bit in enumerate(found[field])) for field in sizes}


@pytest.mark.parametrize("standard_name", REFERENCE)
def test_base_mapping_has_the_references_bits(standard_name: str) -> None:
    standard = load_standard(standard_name)
    mapping = of(standard, "RoBaRaCoCh")
    sizes = {"units": 1, "stack_ids": 1, "bank_groups": 1}
    for field in REFERENCE[standard_name]["address_mapping"]["bits_lsb_first"]:
        name, lsb, width = field["field"], field["lsb"], field["width"]
        if name == "burst offset":
            assert 1 << width == standard.burst_bytes
            continue
        low, high = (mapping.decode(np.array([1 << bit], dtype=np.int64)) for bit in (lsb, lsb + width - 1))
        if width == 0:
            continue
        place = {"column (in bursts)": 2, "row": 1}.get(name, 0)
        assert np.flatnonzero([part[0] for part in low]).tolist() == [place]
        if place:
            assert (low[place][0], high[place][0]) == (1, 1 << (width - 1))
        sizes[FIELDS.get(name, name)] = 1 << width
    assert sizes["units"] == standard.organisation.units
    assert sizes["stack_ids"] == standard.organisation.stack_ids


@pytest.mark.parametrize("name", MAPPINGS)
@pytest.mark.parametrize("standard_name", ["DDR4", "LPDDR5", "HBM2", "HBM3"])
@settings(deadline=None, derandomize=True, max_examples=60)
@given(data=st.data())
def test_every_bit_by_hand(name: str, standard_name: str, data: st.DataObject) -> None:
    standard = load_standard(standard_name)
    address = data.draw(st.integers(0, standard.capacity_bytes - 1))
    bank, row, column = (int(part[0]) for part in of(standard, name).decode(np.array([address], dtype=np.int64)))
    o, want = standard.organisation, fields_by_hand(address, standard, name)
    flat = ((want["unit"] * o.stack_ids + want["sid"]) * o.bank_groups + want["group"]) * o.banks_per_group
    assert (bank, row, column) == (flat + want["bank"], want["row"], want["column"])


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_mapping_is_one_to_one(name: str) -> None:
    small = load_standard("HBM3", ("rows=4", "columns=64"))
    addresses = np.arange(0, small.capacity_bytes, small.burst_bytes, dtype=np.int64)
    banks, rows, columns = of(small, name).decode(addresses)
    o = small.organisation
    assert len(np.unique((banks * o.rows + rows) * o.bursts_per_row + columns)) == len(addresses)
    assert (banks.max(), rows.max(), columns.max()) == (o.banks - 1, o.rows - 1, o.bursts_per_row - 1)


def test_words_of_mistakes() -> None:
    standard = load_standard("DDR4")
    with pytest.raises(
        InputError, match=r"^mapping: unknown address mapping, got 'x', allowed: RoBaRaCoCh, ChRaBaRoCo"
    ):
        of(standard, "x")
    with pytest.raises(InputError, match=r"^mapping: MOP4CLXOR needs four bursts in a row, got 2, allowed: 4 or more$"):
        of(load_standard("DDR4", ("columns=16",)), "MOP4CLXOR")
