"""Adder, widening and doubling: the same bits as NumPy, in MyHDL and Verilated; and broken ones are caught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat, decode, encode
from rtl_models.simulators import MyhdlSimulator, Simulator, VerilatorSimulator
from rtl_models.simulators.build import compile_verilog
from rtl_models.simulators.process import call_worker
from rtl_models.units import Stimulus
from tests.rtl_models.blocks import adder_unit, double_unit, widen_unit
from tests.rtl_models.simulation import apply, needs_verilator, simulators, words

FORMATS = (BINARY16, BFLOAT16, BINARY32)
formats = pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)


def corners(fmt: FloatFormat) -> list[int]:
    """Return patterns at every edge of a format, of both signs."""
    infinity = ((1 << fmt.exponent_bits) - 1) << fmt.fraction_bits
    least_normal = 1 << fmt.fraction_bits
    one = fmt.bias << fmt.fraction_bits
    positive = [0, 1, 2, 3, least_normal - 1, least_normal, least_normal + 1, 2 * least_normal, one - 1, one, one + 1]
    positive += [infinity - least_normal, infinity - 1, infinity, infinity + 1, fmt.canonical_nan]
    return [p | s for p in positive for s in (0, 1 << (fmt.width_bits - 1))]


def hostile(fmt: FloatFormat, count: int, seed: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return pairs of all corners, random pairs, neighbours (cancellation) and pairs with few exponents apart."""
    rng = np.random.default_rng(seed)
    edge = np.array(corners(fmt), np.uint64)
    a, b = (grid.ravel() for grid in np.meshgrid(edge, edge))
    x = rng.integers(0, 1 << fmt.width_bits, count, dtype=np.uint64)
    y = rng.integers(0, 1 << fmt.width_bits, count, dtype=np.uint64)
    mask, sign = np.uint64((1 << fmt.width_bits) - 1), np.uint64(1 << (fmt.width_bits - 1))
    near = (x + rng.integers(0, 9, count, dtype=np.uint64)) ^ (sign * rng.integers(0, 2, count, dtype=np.uint64))
    apart = rng.integers(0, fmt.fraction_bits + 4, count, dtype=np.uint64) << np.uint64(fmt.fraction_bits)
    kind = rng.integers(0, 3, count)
    y = np.select([kind == 0, kind == 1], [y, near & mask], (x + apart) & mask ^ y & sign)
    return np.concatenate([a, x]), np.concatenate([b, y])


def numpy_sum(fmt: FloatFormat, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(all="ignore"):
        exact = decode(a.astype(fmt.bits_dtype), fmt) + decode(b.astype(fmt.bits_dtype), fmt)
    return encode(exact, fmt).astype(np.uint64)


@formats
@simulators
def test_adder_gives_the_bits_of_numpy(simulator: Simulator, fmt: FloatFormat) -> None:
    a, b = hostile(fmt, 2_000 if isinstance(simulator, MyhdlSimulator) else 300_000, seed=1)
    np.testing.assert_array_equal(apply(simulator, adder_unit(fmt), a=a, b=b), numpy_sum(fmt, a, b))


@needs_verilator
def test_binary16_adder_on_a_strided_sample_of_all_pairs() -> None:
    pairs = np.arange(0, 1 << 32, 6_007, dtype=np.uint64)  # a prime stride visits all exponents and signs
    a, b = pairs >> np.uint64(16), pairs & np.uint64(0xFFFF)
    np.testing.assert_array_equal(
        apply(VerilatorSimulator(), adder_unit(BINARY16), a=a, b=b), numpy_sum(BINARY16, a, b)
    )


MUTANTS = {
    "ties up": ("(((total[4] | total[2]) | total[1]) | total[0])", "1"),
    "ties down": ("total[4] | ", ""),
    "no sticky bit": ("aligned[0] = 1", "aligned[0] = 0"),
    "no rounding": ("magnitude + up", "magnitude"),
    "sign of an exact zero": ("sign = (in_a[15] & in_b[15])", "sign = in_a[15]"),
    "hidden bit of a subnormal": ("exponent_lesser = 1;", "exponent_lesser = 0;"),
    "subnormal shifted too far": ("(exponent > step)", "(exponent >= step)"),
    "infinity minus infinity": ("(differ == 1)", "0"),
    "no overflow": ("(magnitude > 31744)", "0"),
}


@needs_verilator
@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_adder_is_caught(mutant: str, tmp_path: Path) -> None:
    unit = adder_unit(BINARY16)
    good, bad = MUTANTS[mutant]
    verilog = call_worker("rtl_models.simulators.convert_worker", (unit, "unit"), unit.name)
    assert good in verilog
    library = tmp_path / f"{mutant.replace(chr(32), chr(95))}.so"
    compile_verilog(verilog.replace(good, bad), unit, library)
    a, b = hostile(BINARY16, 100_000, seed=2)
    stimulus = Stimulus({"in": {"a": words(a), "b": words(b)}}, {"out": len(a)})
    (response,) = VerilatorSimulator().run_library(library, unit, [stimulus])
    assert np.any(response.payloads["out"]["sum"][:, 0] != numpy_sum(BINARY16, a, b))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [(BINARY16, BINARY32), (BFLOAT16, BINARY32), (BINARY32, BINARY32), (BINARY16, BINARY16)],
    ids=lambda f: f.name,
)
@simulators
def test_widening_is_exact(simulator: Simulator, narrow: FloatFormat, wide: FloatFormat) -> None:
    a = np.array(corners(narrow), np.uint64)
    if not isinstance(simulator, MyhdlSimulator):
        a = np.concatenate([a, np.arange(1 << 16, dtype=np.uint64) << np.uint64(narrow.width_bits - 16)])
    expected = a if narrow == wide else encode(decode(a.astype(narrow.bits_dtype), narrow), wide).astype(np.uint64)
    np.testing.assert_array_equal(apply(simulator, widen_unit(narrow, wide), a=a), expected)


@formats
@simulators
def test_doubling_is_exact(simulator: Simulator, fmt: FloatFormat) -> None:
    a = np.concatenate([np.array(corners(fmt), np.uint64), hostile(fmt, 500, seed=3)[0]])
    values = decode(a.astype(fmt.bits_dtype), fmt)
    with np.errstate(all="ignore"):
        doubled = encode(values * np.float32(2), fmt).astype(np.uint64)
    expected = np.where(np.isnan(values), a, doubled)  # a NaN stays what it is
    np.testing.assert_array_equal(apply(simulator, double_unit(fmt), a=a), expected)
