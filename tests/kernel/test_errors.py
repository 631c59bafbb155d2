"""Every kernel error comes out of a run as the type that went in, with its text."""

import pytest
import simpy

from tlm.kernel import Deadlock, KernelError, Simulation, TimeLimitExceeded
from tlm.kernel import errors as kernel_errors

TYPES = [
    kind
    for kind in vars(kernel_errors).values()
    if isinstance(kind, type) and issubclass(kind, KernelError) and kind not in (Deadlock, TimeLimitExceeded)
]
ERRORS = [kind("what", "where", 3, "4") for kind in TYPES]
ERRORS += [Deadlock(5, ("a waits for b",)), TimeLimitExceeded(7, ("a is busy",))]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_error_survives_the_kernel(error) -> None:
    simulation = Simulation()

    def fail(process):
        yield from process.work(1)
        raise error

    simulation.process(fail)
    with pytest.raises(type(error)) as caught:
        simulation.run()
    assert caught.value is error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_error_survives_plain_simpy(error) -> None:
    env = simpy.Environment()

    def fail():
        yield env.timeout(1)
        raise error

    env.process(fail())
    with pytest.raises(type(error)) as caught:
        env.run()
    assert str(caught.value) == str(error)


def test_texts() -> None:
    assert str(KernelError("what", "where", 3, "4")) == "where: what, got 3, allowed: 4"
    assert str(KernelError("what")) == "what"
    assert str(Deadlock(5, ("a waits", "b waits"))) == "deadlock at 5 ps: a waits; b waits"
    assert Deadlock(5, ("a waits",)).waits == ("a waits",)
    assert str(TimeLimitExceeded(7, ("a is busy",))) == "time limit of 7 ps exceeded: a is busy"


def test_an_exception_that_cannot_be_rebuilt_survives() -> None:
    class AwkwardError(Exception):
        def __init__(self, *, text: str) -> None:
            super().__init__(text)

    simulation = Simulation()

    def fail(process):
        yield from process.work(1)
        raise AwkwardError(text="kept")

    simulation.process(fail)
    with pytest.raises(AwkwardError, match=r"^kept$"):
        simulation.run()
