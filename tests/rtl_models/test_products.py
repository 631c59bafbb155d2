"""Multiplier, narrowing and comparison: the bits of NumPy in MyHDL, Verilated and in Icarus; mutants are caught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_models.formats import BINARY16, BINARY32, FloatFormat, decode, encode
from rtl_models.simulators import simulator_by_name
from rtl_models.units import Response, Stimulus
from tests.rtl_models.products import COMPARISONS, NARROWINGS, PRODUCTS, half_unit, products_unit
from tests.rtl_models.simulation import needs_verilator, words
from tests.rtl_models.test_arithmetic import hostile, operands
from tests.units.icarus import PASSED, needs_icarus, replay, verilog_of

Patterns = NDArray[np.uint64]


def numbers(patterns: Patterns, fmt: FloatFormat) -> NDArray[np.float64]:
    """Return the low bits of patterns as numbers: binary64, in which every product of two of them is exact."""
    low = patterns & np.uint64((1 << fmt.width_bits) - 1)
    with np.errstate(invalid="ignore"):  # a signalling NaN is quieted
        return decode(low.astype(fmt.bits_dtype), fmt).astype(np.float64)


def product(a: Patterns, b: Patterns, formats: tuple[FloatFormat, FloatFormat, FloatFormat]) -> Patterns:
    with np.errstate(all="ignore"):
        return encode(numbers(a, formats[0]) * numbers(b, formats[1]), formats[2]).astype(np.uint64)


def hostile_products(count: int, seed: int) -> tuple[Patterns, Patterns]:
    """Return pairs whose binary32 product lies where its result is subnormal, overflows, or is just about 1."""
    rng = np.random.default_rng(seed)
    exponent = rng.integers(1, 255, count)
    total = rng.choice([127 - 150, 127 - 127, 127 - 24, 127 - 15, 127, 127 + 15, 127 + 127], count)
    other = np.clip(total - exponent + 127 + rng.integers(-2, 3, count), 0, 255)
    pairs = []
    for field in (exponent, other):
        fraction = rng.integers(0, 1 << 23, count) & rng.choice([0x7FFFFF, 0x700000, 0x7FF000, 0x000001], count)
        pairs.append((rng.integers(0, 2, count) << 31 | field << 23 | fraction).astype(np.uint64))
    return pairs[0], pairs[1]


def near_ties(count: int, seed: int) -> tuple[Patterns, Patterns]:
    """Return pairs of binary16 patterns whose product is next to a tie of the subnormal grid, but no tie.

    What makes it none is shifted far to the right: only a sticky bit can tell.
    """
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 1 << 10, 400 * count, dtype=np.uint64)  # subnormal: a few bits times a few bits are no tie
    b = rng.integers(1 << 10, 14 << 10, 400 * count, dtype=np.uint64)
    on_grid = numbers(a, BINARY16) * numbers(b, BINARY16) * 2.0**24
    distance = np.abs(on_grid - np.floor(on_grid) - 0.5)
    chosen = np.flatnonzero((distance > 0) & (distance < 2.0**-9))[:count]
    return a[chosen], b[chosen]


def near_grid(count: int, seed: int) -> Patterns:
    """Return binary32 patterns next to the ties of the subnormal grids of binary16 and bfloat16, and on them."""
    rng = np.random.default_rng(seed)
    ties = (rng.integers(0, 1 << 10, count) + 0.5) * rng.choice([2.0**-24, 2.0**-133], count)
    return encode(ties, BINARY32).astype(np.uint64) + rng.integers(0, 3, count).astype(np.uint64) - np.uint64(1)


def small_subnormals(count: int, seed: int) -> tuple[Patterns, Patterns]:
    """Return pairs of binary16 subnormals of few bits: their products are normal in binary32, far from normalised."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(1, 11, (2, count))
    signs = rng.integers(0, 2, (2, count)) << 15
    a, b = (rng.integers(0, 1 << bits) | signs).astype(np.uint64)
    return a, b


def all_operands(count: int) -> tuple[Patterns, Patterns]:
    pairs = (
        operands(count),
        hostile_products(count, 4),
        near_ties(count // 8, 5),
        (near_grid(count, 6),) * 2,
        small_subnormals(count // 4, 7),
    )
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


def run(name: str, count: int) -> tuple[Stimulus, Response]:
    a, b = all_operands(count)
    stimulus = Stimulus({"in": {"a": words(a), "b": words(b)}}, {"out": len(a)})
    return stimulus, simulator_by_name(name).run(products_unit(), [stimulus])[0]


@dataclass(frozen=True)
class Results:
    """The operands, and every block's results for them."""

    a: Patterns
    b: Patterns
    fields: dict[str, Patterns]


@pytest.fixture(scope="module", params=["myhdl", pytest.param("verilator", marks=needs_verilator)])
def results(request: pytest.FixtureRequest) -> Results:
    stimulus, response = run(request.param, 100 if request.param == "myhdl" else 100_000)
    a, b = (stimulus.beats["in"][name][:, 0] for name in ("a", "b"))
    return Results(a, b, {name: payload[:, 0] for name, payload in response.payloads["out"].items()})


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_rounded_once(results: Results, name: str) -> None:
    np.testing.assert_array_equal(results.fields[name], product(results.a, results.b, PRODUCTS[name]))


@pytest.mark.parametrize("name", NARROWINGS)
def test_narrowing_rounds_to_nearest_even(results: Results, name: str) -> None:
    wide, narrow = NARROWINGS[name]
    np.testing.assert_array_equal(results.fields[name], encode(numbers(results.a, wide), narrow))


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(results: Results, name: str) -> None:
    fmt = COMPARISONS[name]
    np.testing.assert_array_equal(results.fields[name], numbers(results.a, fmt) > numbers(results.b, fmt))


@needs_icarus
def test_icarus_agrees(tmp_path: Path) -> None:
    stimulus, response = run("auto", 50)
    assert replay(products_unit(), stimulus, response, tmp_path) == PASSED


HALF_FORMATS = (BINARY16, BINARY16, BINARY16)


@needs_verilator
def test_binary16_products_and_comparisons_on_a_strided_sample_of_all_pairs() -> None:
    pairs = np.arange(0, 1 << 32, 16_001, dtype=np.uint64)  # a prime stride visits all exponents and signs
    a, b = pairs >> np.uint64(16), pairs & np.uint64(0xFFFF)
    stimulus = Stimulus({"in": {"a": words(a), "b": words(b)}}, {"out": len(a)})
    out = simulator_by_name("verilator").run(half_unit(), [stimulus])[0].payloads["out"]
    np.testing.assert_array_equal(out["product"][:, 0], product(a, b, HALF_FORMATS))
    np.testing.assert_array_equal(out["greater"][:, 0], numbers(a, BINARY16) > numbers(b, BINARY16))


def half_response(a: Patterns, b: Patterns) -> Response:
    """Return what binary16 product and comparison must do, a pair a cycle."""
    greater = numbers(a, BINARY16) > numbers(b, BINARY16)
    cycles = np.arange(len(a))
    out = {"product": words(product(a, b, HALF_FORMATS)), "greater": words(greater.astype(np.uint64))}
    return Response({"out": out}, {"in": cycles, "out": cycles}, len(a))


MUTANTS = {
    "ties up": ("(digits[11] || (below != 0))", "1"),
    "no sticky bit below the subnormal grid": ("aligned[0] = 1", "aligned[0] = 0"),
    "no normalisation": ("((digits < bound) && (scale > step))", "0"),
    "subnormals flushed": ("digits = aligned;", "digits = 0;"),
    "hidden bit of a subnormal": ("a_exponent = 1;", "a_exponent = 0;"),
    "sign of the product": ("(in_a[15] ^ in_b[15])", "in_a[15]"),
    "zero times infinity": ("(product == 0)", "0"),
    "no overflow": ("(magnitude > 31744)", "0"),
    "minus zero below plus zero": ("((a_magnitude != 0) || (b_magnitude != 0))", "1"),
    "NaN is greater": ("((a_magnitude > 31744) || (b_magnitude > 31744))", "(b_magnitude > 31744)"),
}


def half_operands() -> tuple[Patterns, Patterns]:
    pairs = (hostile(BINARY16, 3_000, seed=2), near_ties(100, 3))
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


@needs_icarus
@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_products_are_caught(mutant: str, half_verilog: str, tmp_path: Path) -> None:
    good, bad = MUTANTS[mutant]
    assert good in half_verilog
    a, b = half_operands()
    stimulus = Stimulus({"in": {"a": words(a), "b": words(b)}}, {"out": len(a)})
    said = replay(half_unit(), stimulus, half_response(a, b), tmp_path, half_verilog.replace(good, bad))
    assert said.startswith("cycle ")


@pytest.fixture(scope="module")
def half_verilog() -> str:
    return verilog_of(half_unit())


@needs_icarus
def test_sound_products_pass_the_test_of_the_broken_ones(half_verilog: str, tmp_path: Path) -> None:
    a, b = half_operands()
    stimulus = Stimulus({"in": {"a": words(a), "b": words(b)}}, {"out": len(a)})
    assert replay(half_unit(), stimulus, half_response(a, b), tmp_path, half_verilog) == PASSED
