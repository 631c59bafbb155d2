"""Energy of one technology node in another, after Stillmaker and Baas, Integration 58 (2017).

Their polynomials give the relative energy of a transition by supply voltage. Nodes between theirs are interpolated
linearly in the node's size; 28 nm lies between 32 nm (planar, as 28 nm is) and 20 nm (multi-gate in their models). So
its nominal value is the interpolated high-performance curve; its ends are the interpolated low-power curve and the
high-performance one of 32 nm.
"""

from __future__ import annotations

from rtl_models.errors import InputError
from tlm.analysis.technology.constants import Constants, EnergyCurve, constants
from tlm.analysis.technology.range import Range

SUPPLY_V = 0.9
"""Of 45 nm (Horowitz, ISSCC 2014) and of 28 nm high-performance processes."""


def energy_factor(curve: EnergyCurve, supply_v: float) -> float:
    """Relative switching energy of a node at `supply_v` volts."""
    return curve.square * supply_v**2 + curve.linear * supply_v + curve.constant


def factor_at_28nm(flavour: str, supply_v: float = SUPPLY_V, table: Constants | None = None) -> float:
    """Relative energy of 28 nm, interpolated between 32 and 20 nm of the `flavour` "HP" or "LP"."""
    table = table or constants()
    at_32, at_20 = (energy_factor(table.curve(f"{flavour}{node}"), supply_v) for node in (32, 20))
    return at_32 + (at_20 - at_32) * (32 - 28) / (32 - 20)


def scale_to_28nm(node: str, table: Constants | None = None) -> Range:
    """Return what an energy at `node`, as the table of constants names it, is to be multiplied with at 28 nm.

    Raises InputError for a node that it does not know.
    """
    table = table or constants()
    if node == "28 nm":
        return Range.exact(1.0)
    if node not in ("45 nm", "65 nm"):
        raise InputError("no scaling of energy from this node", "technology", node, "28 nm, 45 nm, 65 nm")
    if node == "65 nm":  # one curve there, at the 1.0 V of that generation's low-power designs
        own = dict.fromkeys(("HP", "LP"), energy_factor(table.curve("65"), 1.0))
    else:
        own = {flavour: energy_factor(table.curve(f"{flavour}45"), SUPPLY_V) for flavour in ("HP", "LP")}
    nominal = factor_at_28nm("HP", table=table) / own["HP"]
    low_power = factor_at_28nm("LP", table=table) / own["LP"]
    as_32nm = energy_factor(table.curve("HP32"), SUPPLY_V) / own["HP"]
    return Range(min(low_power, nominal), nominal, max(low_power, as_32nm))


def energy_28nm(name: str, table: Constants | None = None) -> Range:
    """Return one energy constant at 28 nm; raises InputError as `Constants.constant` and `scale_to_28nm`."""
    table = table or constants()
    found = table.constant(name)
    return found.range * scale_to_28nm(found.node, table)
