"""What MyHDL asks about sources is answered once per code, with the answers that it would have got."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable

import pytest
from myhdl import _util as myhdl_util

from rtl_models.pipeline import PipelineGeometry
from rtl_models.simulators.process import call_worker
from rtl_models.simulators.source_lookup import quick_source_lookup
from rtl_models.weight_gradient_unit import weight_gradient_unit


def made(value: int) -> Callable[[], int]:
    def process() -> int:
        return value

    return process


def test_the_answers_are_those_of_inspect() -> None:
    def answers() -> list[object]:
        return [ask(made(1)) for ask in (inspect.getsource, inspect.getsourcefile, inspect.getsourcelines)]

    expected = answers()
    with quick_source_lookup():
        assert [answers(), answers()] == [expected, expected]
        other = inspect.getsourcelines(another)
        assert other == (["def another() -> None:\n", "    made(3)()\n"], another.__code__.co_firstlineno)
        assert "no function" in inspect.getsource(Other)  # asked as ever


def test_a_function_s_source_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def count(lookup: object) -> tuple[list[str], int]:
        asked.append(lookup)
        return ["text\n"], 1

    monkeypatch.setattr(inspect, "getsourcelines", count)
    with quick_source_lookup():
        assert [inspect.getsource(made(value)) for value in range(3)] == ["text\n"] * 3
    assert len(asked) == 1


def test_the_stack_has_the_same_frames_without_lines() -> None:
    expected = [(entry.frame, entry.filename, entry.function) for entry in inspect.stack()]
    with quick_source_lookup():
        stack = inspect.stack()
    assert [(entry.frame, entry.filename, entry.function) for entry in stack] == expected
    assert {entry.code_context for entry in stack} == {None}


def test_everything_is_put_back() -> None:
    def functions() -> list[object]:
        return [inspect.stack, inspect.getsourcelines, inspect.getsourcefile, myhdl_util._dedent]

    before = functions()
    with contextlib.suppress(KeyError), quick_source_lookup():
        assert all(now is not then for now, then in zip(functions(), before, strict=True))
        raise KeyError
    assert functions() == before


def test_converted_text_is_the_same() -> None:
    request = weight_gradient_unit(PipelineGeometry(latency_cycles=2)), "unit"
    quick = call_worker("rtl_models.simulators.convert_worker", request, "quick")
    assert "module unit" in quick
    assert call_worker("tests.rtl_models.slow_convert_worker", request, "slow") == quick


class Other:
    """Something with a source that is no function."""


def another() -> None:
    made(3)()
