"""Adder, widening and doubling: the same bits as NumPy, in MyHDL and Verilated; and broken ones are caught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_models.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat, decode, encode
from rtl_models.simulators import VerilatorSimulator, simulator_by_name
from rtl_models.simulators.build import build_unit, compile_verilog
from rtl_models.simulators.process import call_worker
from rtl_models.units import Stimulus
from tests.rtl_models.blocks import adder_unit, arithmetic_unit
from tests.rtl_models.simulation import needs_verilator, words

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


def operands(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return pairs that are hostile in each format in turn."""
    a, b = zip(*(hostile(fmt, count, seed) for seed, fmt in enumerate(FORMATS)), strict=True)
    return np.concatenate(a), np.concatenate(b)


@dataclass(frozen=True)
class Results:
    """The operands, and every block's results for them."""

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]
    fields: dict[str, NDArray[np.uint64]]


@pytest.fixture(scope="module", params=["myhdl", pytest.param("verilator", marks=needs_verilator)])
def results(request: pytest.FixtureRequest) -> Results:
    a, b = operands(400 if request.param == "myhdl" else 300_000)
    stimulus = Stimulus({"in": {"a": words(a), "b": words(b)}}, {"out": len(a)})
    (response,) = simulator_by_name(request.param).run(arithmetic_unit(), [stimulus])
    return Results(a, b, {name: payload[:, 0] for name, payload in response.payloads["out"].items()})


@formats
def test_adder_gives_the_bits_of_numpy(results: Results, fmt: FloatFormat) -> None:
    np.testing.assert_array_equal(results.fields[f"sum_{fmt.name}"], numpy_sum(fmt, results.a, results.b))


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
def test_widening_is_exact(results: Results, fmt: FloatFormat) -> None:
    expected = encode(decode(results.a.astype(fmt.bits_dtype), fmt), BINARY32)
    np.testing.assert_array_equal(results.fields[f"wide_{fmt.name}"], expected)


def test_widening_to_the_same_format_keeps_every_pattern(results: Results) -> None:
    np.testing.assert_array_equal(results.fields["same"], results.a)


@formats
def test_doubling_is_exact(results: Results, fmt: FloatFormat) -> None:
    a = results.a.astype(fmt.bits_dtype)
    values = decode(a, fmt)
    with np.errstate(all="ignore"):
        doubled = encode(values * np.float32(2), fmt)
    np.testing.assert_array_equal(results.fields[f"twice_{fmt.name}"], np.where(np.isnan(values), a, doubled))


def add(library: Path, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    stimulus = Stimulus({"in": {"a": words(a), "b": words(b)}}, {"out": len(a)})
    (response,) = VerilatorSimulator().run_library(library, adder_unit(BINARY16), [stimulus])
    return response.payloads["out"]["sum"][:, 0]


@needs_verilator
def test_binary16_adder_on_a_strided_sample_of_all_pairs() -> None:
    pairs = np.arange(0, 1 << 32, 6_007, dtype=np.uint64)  # a prime stride visits all exponents and signs
    a, b = pairs >> np.uint64(16), pairs & np.uint64(0xFFFF)
    np.testing.assert_array_equal(add(build_unit(adder_unit(BINARY16)), a, b), numpy_sum(BINARY16, a, b))


MUTANTS = {
    "ties up": ("(((total[4] | total[2]) | total[1]) | total[0])", "1"),
    "no sticky bit": ("aligned[0] = 1", "aligned[0] = 0"),
    "sign of an exact zero": ("sign = (in_a[15] & in_b[15])", "sign = in_a[15]"),
    "hidden bit of a subnormal": ("exponent_lesser = 1;", "exponent_lesser = 0;"),
    "infinity minus infinity": ("(differ == 1)", "0"),
}


@pytest.fixture(scope="module")
def adder_verilog() -> str:
    text: str = call_worker("rtl_models.simulators.convert_worker", (adder_unit(BINARY16), "unit"), "adder")
    return text


@needs_verilator
@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_adder_is_caught(mutant: str, adder_verilog: str, tmp_path: Path) -> None:
    good, bad = MUTANTS[mutant]
    assert good in adder_verilog
    library = tmp_path / f"{mutant.replace(' ', '_')}.so"
    compile_verilog(adder_verilog.replace(good, bad), adder_unit(BINARY16), library)
    a, b = hostile(BINARY16, 100_000, seed=2)
    assert np.any(add(library, a, b) != numpy_sum(BINARY16, a, b))
