"""The table of constants (`constants.yaml`): every number that area and energy rest on, with its range and source."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rtl_models.errors import InputError
from tlm.analysis.technology.range import Range

FILE_NAME = "constants.yaml"
WIDE = 1.5  # high over low of what is only assumed

Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constant(_Table):
    """One constant: its range, unit, technology node and source.

    `verified`: *seen* in the source itself, *quoted* by another work, or *assumed* by us. `calibrated_on` names what
    the value was adjusted to; empty where it was not adjusted to anything.
    """

    name: Text
    low: Annotated[float, Field(ge=0)]
    nominal: Annotated[float, Field(ge=0)]
    high: Annotated[float, Field(ge=0)]
    unit: Text
    node: Text
    source: Text
    verified: Literal["seen", "quoted", "assumed"]
    calibrated_on: str = ""

    @model_validator(mode="after")
    def _ascending_and_wide(self) -> Self:
        if not self.low <= self.nominal <= self.high:
            raise ValueError(f"{self.name}: low, nominal and high must ascend")
        if self.verified == "assumed" and self.high < WIDE * self.low:
            raise ValueError(f"{self.name}: what is assumed needs high at least {WIDE} x low")
        return self

    @property
    def range(self) -> Range:
        """Low, nominal and high."""
        return Range(self.low, self.nominal, self.high)


class EnergyCurve(_Table):
    """Relative switching energy of a node against its supply: ``square V^2 + linear V + constant``."""

    name: Text
    square: float
    linear: float
    constant: float


class Constants(_Table):
    """The whole table."""

    scaling_source: Text
    energy_curves: tuple[EnergyCurve, ...]
    constants: tuple[Constant, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for kind, names in (
            ("constant", [c.name for c in self.constants]),
            ("energy curve", [c.name for c in self.energy_curves]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{kind} {twice[0]} stands there twice")
        return self

    def constant(self, name: str) -> Constant:
        """Return one constant; raises InputError for a name that is not in the table."""
        for found in self.constants:
            if found.name == name:
                return found
        raise InputError("unknown constant", FILE_NAME, name, ", ".join(c.name for c in self.constants))

    def range(self, name: str) -> Range:
        """Return low, nominal and high of one constant; raises InputError as `constant`."""
        return self.constant(name).range

    def curve(self, name: str) -> EnergyCurve:
        """Return one energy curve; raises InputError for a name that is not in the table."""
        for found in self.energy_curves:
            if found.name == name:
                return found
        raise InputError("unknown energy curve", FILE_NAME, name, ", ".join(c.name for c in self.energy_curves))


@cache
def constants() -> Constants:
    """Return the table that comes with the project."""
    text = resources.files("tlm.analysis.technology").joinpath(FILE_NAME).read_text(encoding="utf-8")
    return parse_constants(text)


def parse_constants(text: str, where: str = FILE_NAME) -> Constants:
    """Return the table in a text; raises InputError where it is no YAML or does not keep to the schema."""
    try:
        return Constants.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML ({error})", where) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(first["msg"], f"{where}: {place}" if place else where) from error
