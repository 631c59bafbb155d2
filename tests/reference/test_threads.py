"""Parts of a kernel on threads: results in order, exceptions where the call was made, threads that end."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from rtl_models.reference.threads import run_parts, set_threads, split

PARTS = [(0, 1), (1, 2), (2, 3)]


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    set_threads(3)
    yield
    set_threads(0)


def square(factor: int, start: int, stop: int) -> int:
    time.sleep(0.01 * (3 - start))  # the first part ends last
    return factor * start * start


def servants() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("reference_")]


def test_results_come_in_the_order_of_the_parts() -> None:
    assert split(3) == PARTS
    assert run_parts(square, PARTS, 7) == [0, 7, 28]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_what_a_part_raises_is_raised_by_the_call(failing: int) -> None:
    def kernel(start: int, stop: int) -> int:
        if start == failing:
            raise ValueError(f"part {start}")
        return start

    with pytest.raises(ValueError, match=f"part {failing}"):
        run_parts(kernel, PARTS)
    assert run_parts(square, PARTS, 1) == [0, 1, 4]  # and the threads serve on


def test_threads_end_when_another_number_is_asked_for() -> None:
    run_parts(square, PARTS, 1)
    before = servants()
    assert len(before) == 2
    set_threads(2)
    for thread in before:
        thread.join(10)
    assert servants() == []


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    run_parts(square, PARTS, 1)
    child = os.fork()
    if child == 0:
        os._exit(0 if run_parts(square, PARTS, 1) == [0, 1, 4] else 1)
    assert os.waitpid(child, 0)[1] == 0
