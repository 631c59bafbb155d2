"""How many transistors each block takes, as counted by Yosys: the data file and what its records mean.

The counts are those of static CMOS gates and D flip-flops, memories included (tables, partial sums and lists are
flip-flops here, which a real design would put into latch or SRAM arrays; `flip_flops` lets a user take them out).
`scripts/synthesize.py` writes the file.
"""

from __future__ import annotations

import datetime
from functools import cache
from importlib import resources
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from rtl_models.errors import InputError

FILE_NAME = "transistors.json"
TRANSISTORS_PER_CELL = {"$_NAND_": 4, "$_NOR_": 4, "$_NOT_": 2, "$_DFF_P_": 16}
"""As Yosys' ``stat -tech cmos`` counts (passes/cmds/stat.cc)."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class BlockCount(BaseModel):
    """One block at one size; the hashes are those of its Python sources and of the Verilog made of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: str
    geometry: dict[str, bool | int | str]
    transistors: PositiveInt
    flip_flops: NonNegativeInt
    cells: dict[str, PositiveInt]
    date: datetime.date
    verilog_sha256: Sha256
    source_sha256: Sha256

    @model_validator(mode="after")
    def _cells_add_up(self) -> Self:
        unknown = set(self.cells) - set(TRANSISTORS_PER_CELL)
        if unknown:
            raise ValueError(f"cells {sorted(unknown)}, allowed: {sorted(TRANSISTORS_PER_CELL)}")
        total = sum(TRANSISTORS_PER_CELL[cell] * count for cell, count in self.cells.items())
        if total != self.transistors or self.cells.get("$_DFF_P_", 0) != self.flip_flops:
            raise ValueError(f"cells have {total} transistors, not {self.transistors}, or other flip_flops")
        return self

    @property
    def logic_transistors(self) -> int:
        """Transistors without the flip-flops."""
        return self.transistors - TRANSISTORS_PER_CELL["$_DFF_P_"] * self.flip_flops


class TransistorCounts(BaseModel):
    """The whole file: what made it, and one record per block and size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_by: str
    tool: str
    command: str
    blocks: tuple[BlockCount, ...]

    def find(self, block: str, **geometry: int | bool | str) -> BlockCount:
        """Return the one record of `block` with all values given; raises InputError for none or several."""
        found = [b for b in self.blocks if b.block == block and geometry.items() <= b.geometry.items()]
        if len(found) != 1:
            sizes = "; ".join(str(b.geometry) for b in self.blocks if b.block == block)
            raise InputError(
                f"{len(found)} synthesised sizes fit {block}", FILE_NAME, geometry, sizes or "other blocks"
            )
        return found[0]


@cache
def transistor_counts() -> TransistorCounts:
    """Return the counts that came with the project."""
    return parse_counts(resources.files("rtl_models").joinpath(FILE_NAME).read_text(encoding="utf-8"))


def parse_counts(text: str) -> TransistorCounts:
    """Return the counts of a file's text; raises InputError where it does not keep to the schema."""
    try:
        return TransistorCounts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(first["msg"], FILE_NAME, place, "the schema of rtl_models.transistors") from error
