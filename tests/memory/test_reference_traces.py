"""The reference's traces, request by request, against the generator that came with the reference."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_models.errors import InputError
from tests.memory.reference import gen_traces
from tlm.memory.reference.traces import GEOMETRY, REQUESTS, TRACES, reference_trace, splitmix64


def test_the_same_traces_and_standards() -> None:
    assert list(TRACES) == list(gen_traces.TRACES)
    assert list(GEOMETRY) == list(gen_traces.GEOM)


@pytest.mark.parametrize("standard", GEOMETRY)
@pytest.mark.parametrize("name", TRACES)
def test_every_request(standard: str, name: str) -> None:
    given = np.array(gen_traces.trace(standard, name), dtype=np.int64)
    addresses, is_write = reference_trace(standard, name)
    assert len(addresses) == REQUESTS
    assert (addresses.dtype, is_write.dtype) == (np.int64, np.bool_)
    np.testing.assert_array_equal(is_write, given[:, 0] == 1)
    np.testing.assert_array_equal(addresses, given[:, 1])


@pytest.mark.parametrize("name", TRACES)
def test_a_short_trace_is_the_beginning_of_the_long_one(name: str) -> None:
    for short, whole in zip(reference_trace("HBM2", name, 1001), reference_trace("HBM2", name), strict=True):
        np.testing.assert_array_equal(short, whole[:1001])


def test_splitmix64_is_the_textbook_generator() -> None:
    generator = gen_traces.splitmix64(1234567)
    assert splitmix64(1234567, 5).tolist() == [next(generator) for _ in range(5)]


@pytest.mark.parametrize(
    ("standard", "name", "words"),
    [
        ("DDR3", "t1_seq_read", "no reference traces for this standard, got 'DDR3', allowed: DDR4, LPDDR5, HBM2, HBM3"),
        ("DDR4", "t9", "unknown reference trace, got 't9', allowed: t1_seq_read, t2_seq_write, "),
    ],
)
def test_words(standard: str, name: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        reference_trace(standard, name)
    assert str(caught.value).startswith(words)
