"""Address mappings: from a byte address within a channel to bank, row and column (in bursts).

Fields from the least significant bit, above the offset in a burst; a unit is a rank or a pseudo-channel:

- ``RoBaRaCoCh``: column, unit, stack id, bank group, bank, row: a row is walked before the bank changes
- ``MOP4CLXOR``: two column bits, unit, stack id, bank group, bank, other column bits, row; then unit, stack id, group,
  bank and row are each XORed with successive column bits, lowest first: four bursts, then another bank
- ``ChRaBaRoCo``: column, row, bank, bank group, stack id, unit: every bank is a region of the channel
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtl_models.errors import InputError
from tlm.memory.standard import Organisation

IntArray = NDArray[np.int64]

UNIT, STACK_ID, GROUP, BANK, ROW, COLUMN = range(6)
_ORDER = {
    "RoBaRaCoCh": (COLUMN, UNIT, STACK_ID, GROUP, BANK, ROW),
    "ChRaBaRoCo": (COLUMN, ROW, BANK, GROUP, STACK_ID, UNIT),
    "MOP4CLXOR": (COLUMN, UNIT, STACK_ID, GROUP, BANK, ROW),
}
MAPPINGS = tuple(_ORDER)
_LOW_COLUMN_BITS = 2  # of MOP4CLXOR: four bursts in a row


@dataclass(frozen=True)
class AddressMapping:
    """A mapping for one organisation: `plan` [fields, (field, bits, shift within the field)] from the lowest bit."""

    name: str
    organisation: Organisation
    burst_bytes: int
    plan: IntArray
    bits: IntArray
    xor: bool

    def decode(self, addresses: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return (bank of the channel, row, column in bursts) of byte addresses; bits above the row's drop out."""
        fields = np.empty((len(addresses), 4), dtype=np.int64)
        self.decode_into(addresses, fields)
        return fields[:, 1].copy(), fields[:, 2].copy(), fields[:, 3].copy()

    def decode_into(self, addresses: IntArray, fields: IntArray) -> None:
        """Fill the first four columns of `fields`: number of the burst, bank of the channel, row, column in bursts."""
        _decode(addresses, self.burst_bytes.bit_length() - 1, self.plan, self.bits, self.xor, fields)

    def low_bursts(self, count: int) -> IntArray:
        """Return [bursts, (number, bank, row, column)] of the first `count`, a power of two.

        Every mapping is linear over bits: the fields of burst a + b, where a is a multiple of `count`, are those of a
        XORed with those of b.
        """
        fields = np.empty((count, 4), dtype=np.int64)
        self.decode_into(np.arange(count) * self.burst_bytes, fields)
        return fields


def address_mapping(name: str, organisation: Organisation, burst_bytes: int) -> AddressMapping:
    """Return the mapping `name` for an organisation.

    Raises InputError for an unknown name, and for MOP4CLXOR where a row has less than four bursts.
    """
    if name not in _ORDER:
        raise InputError("unknown address mapping", "mapping", name, ", ".join(MAPPINGS))
    sizes = (
        *(organisation.units, organisation.stack_ids, organisation.bank_groups, organisation.banks_per_group),
        *(organisation.rows, organisation.bursts_per_row),
    )
    bits = np.array([size.bit_length() - 1 for size in sizes], dtype=np.int64)
    plan = [(field, int(bits[field]), 0) for field in _ORDER[name]]
    if name == "MOP4CLXOR":
        if bits[COLUMN] < _LOW_COLUMN_BITS:
            raise InputError(
                "MOP4CLXOR needs four bursts in a row", "mapping", organisation.bursts_per_row, "4 or more"
            )
        low, *middle, row = plan
        high = (COLUMN, low[1] - _LOW_COLUMN_BITS, _LOW_COLUMN_BITS)
        plan = [(COLUMN, _LOW_COLUMN_BITS, 0), *middle, high, row]
    return AddressMapping(name, organisation, burst_bytes, np.array(plan, dtype=np.int64), bits, name == "MOP4CLXOR")


@njit(nogil=True, cache=True)
def _decode(addresses: IntArray, offset_bits: int, plan: IntArray, bits: IntArray, xor: bool, result: IntArray) -> None:
    fields = np.zeros(6, np.int64)
    for i in range(len(addresses)):
        decode_burst(addresses[i] >> offset_bits, plan, bits, xor, fields, result[i])


@njit(nogil=True)
def decode_burst(number: int, plan: IntArray, bits: IntArray, xor: bool, fields: IntArray, result: IntArray) -> None:
    """Write number, bank, row and column of the channel's burst `number` into `result`; `fields` is room for six."""
    rest = number
    fields[COLUMN] = 0
    for j in range(len(plan)):
        value = rest & ((1 << plan[j, 1]) - 1)
        rest >>= plan[j, 1]
        if plan[j, 0] == COLUMN:
            fields[COLUMN] |= value << plan[j, 2]
        else:
            fields[plan[j, 0]] = value
    if xor:
        shift = 0
        for field in range(COLUMN):
            fields[field] ^= (fields[COLUMN] >> shift) & ((1 << bits[field]) - 1)
            shift += bits[field]
    bank = fields[UNIT]
    for field in range(STACK_ID, ROW):
        bank = (bank << bits[field]) | fields[field]
    result[0], result[1], result[2], result[3] = number, bank, fields[ROW], fields[COLUMN]
