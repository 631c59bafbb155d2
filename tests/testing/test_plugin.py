"""The pytest plugin, tested by running tests with it."""

import re
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import pytest

from tlm.kernel import Clock, TimeLimitExceeded, TokenChannel
from tlm.kernel.byte_channel import ByteChannel
from tlm.testing.parts import NOTHING, ScoreboardMismatch, Stalls

pytest_plugins = "pytester"

GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"

PASS_ON = """
    from tlm.kernel import TokenChannel

    def test_it(simulation, drive, monitor, scoreboard, stalls):
        channel = TokenChannel("c", simulation, 2)
        drive(channel, {items}, stalls())
        monitor(channel, scoreboard=scoreboard)
        scoreboard.expect(1, 2, 3)
        simulation.run()
"""


def test_the_example_of_the_guide(pytester) -> None:
    example = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert example is not None
    pytester.makepyfile(test_doubler=example[1])
    pytester.runpytest().assert_outcomes(passed=2)
    bodies = re.findall(r"^def test_.*?(?=^def |\Z)", example[1], re.DOTALL | re.MULTILINE)
    assert all(len(body.strip().splitlines()) < 15 for body in bodies)


def test_the_example_can_fail(pytester) -> None:
    example = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert example is not None
    pytester.makepyfile(test_doubler=example[1].replace("sink.put(2 * item)", "sink.put(2 * item + (item == 7))"))
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines([r".*ScoreboardMismatch: item 7 at \d+ ps: expected 14, received 15"])
    result.stdout.fnmatch_lines(["*random stalls: repeat with --h2learn-seed=1"])


def test_a_scoreboard_must_end_empty(pytester) -> None:
    pytester.makepyfile(PASS_ON.format(items="[1, 2]"))
    result = pytester.runpytest("--h2learn-seed=8")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.re_match_lines(
        [
            r"h2learn: --h2learn-seed=8",
            r".*scoreboard is not empty: 1 items expected and not received by \d+ ps \(received 2\), next: 3",
            r"random stalls: repeat with --h2learn-seed=8",
        ]
    )


def test_a_surplus_item_is_a_mismatch(pytester) -> None:
    pytester.makepyfile(PASS_ON.format(items="[1, 2, 3, 4]"))
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r".*item 3 at \d+ ps: expected nothing more, received 4"])


def test_a_scoreboard_must_see_something(pytester) -> None:
    pytester.makepyfile("def test_it(scoreboard): pass")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*scoreboard saw nothing: no item was expected or received"])


def test_a_failing_test_is_not_reported_twice(pytester) -> None:
    pytester.makepyfile("def test_it(scoreboard):\n    scoreboard.expect(1)\n    assert False")
    pytester.runpytest().assert_outcomes(failed=1)


def test_the_seed_decides_and_random_draws_one(pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(stalls, request):
            first, second = stalls(), stalls()
            print("pauses", [first.next_ps() for _ in range(12)], [second.next_ps() for _ in range(12)])
        """
    )

    def pauses(*options):
        result = pytester.runpytest("-s", *options)
        result.assert_outcomes(passed=1)
        header = next(line for line in result.outlines if line.startswith("h2learn: "))
        return header, next(line for line in result.outlines if "pauses" in line)

    assert pauses() == pauses("--h2learn-seed=1") != pauses("--h2learn-seed=2")
    header, drawn = pauses("--h2learn-seed=random")
    assert header != "h2learn: --h2learn-seed=random"
    assert pauses(header.removeprefix("h2learn: "))[1] == drawn
    first, second = re.findall(r"\[.*?\]", drawn)
    assert first != second


def test_words_of_a_bad_seed(pytester) -> None:
    result = pytester.runpytest("--h2learn-seed=often")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--h2learn-seed: bad seed, got 'often', allowed: an integer or 'random'"])


def test_the_plugin_is_light() -> None:
    heavy = {"numpy", "numba", "matplotlib", "pyarrow", "h5py", "pydantic", "sklearn", "rich", "myhdl"}
    code = f"import sys, tlm.testing.plugin; print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_watchdog_is_tight(simulation, watchdog) -> None:
    def body(process):
        yield from process.work(20_000)

    simulation.process(body)
    watchdog(10, Clock(2000))
    assert simulation.run() == 20_000
    simulation.process(body, "again")
    watchdog(19, Clock(2000))
    with pytest.raises(TimeLimitExceeded, match=r"^time limit of 38000 ps exceeded: again is busy"):
        simulation.run()


def test_drive_and_monitor_know_byte_channels(simulation, drive, monitor) -> None:
    buffer = ByteChannel("b", simulation, 4)
    drive(buffer, ["abc", "d"])
    drive(buffer, [7], size_bytes=lambda item: 4)
    seen = monitor(buffer, 3)
    simulation.run()
    assert seen.items == ["abc", "d", 7]
    assert buffer.put_bytes == 8


def test_stalls_cover_their_range_and_obey_the_probability() -> None:
    stalls = Stalls("seed", 0.25, 3, Clock(1000))
    pauses = [stalls.next_ps() for _ in range(4000)]
    assert set(pauses) == {0, 1000, 2000, 3000}
    assert 900 < sum(pause > 0 for pause in pauses) < 1100
    assert {Stalls("seed", 0, 3, Clock(1000)).next_ps() for _ in range(9)} == {0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.5, 3), "stalls: probability is 1.5, allowed: 0 to 1"),
        ((0.5, 0), "stalls: longest_cycles is 0, allowed: at least 1"),
    ],
)
def test_words_of_bad_stalls(arguments, words) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        Stalls("seed", *arguments, Clock(1000))


def test_arrays_are_compared_by_shape_and_elements(scoreboard) -> None:
    import numpy as np

    scoreboard.expect(np.arange(4), np.arange(4), np.arange(4))
    scoreboard.receive(np.arange(4))
    for wrong in (np.arange(4).reshape(2, 2), np.array([0, 1, 2, 4])):
        with pytest.raises(ScoreboardMismatch, match=r"^item 1 at 0 ps: expected array"):
            scoreboard.receive(wrong)
    with pytest.raises(ScoreboardMismatch, match=r"expected nothing more, received 1$"):
        scoreboard.receive(1)
    assert repr(NOTHING) == "nothing more"


def test_stalled_ends_keep_order(simulation, drive, monitor, scoreboard, stalls) -> None:
    channel = TokenChannel("c", simulation, 3)
    drive(channel, range(200), stalls(0.3, 6))
    monitor(channel, 200, stalls(0.3, 6), scoreboard)
    scoreboard.expect(*range(200))
    simulation.run()


def test_stalls_delay_both_ends_as_drawn(simulation, drive, monitor) -> None:
    fast, slow = TokenChannel("fast", simulation, 100), TokenChannel("slow", simulation, 100)
    drive(fast, range(50), Stalls("a", 0.5, 3, Clock(1000)))
    seen = monitor(fast)
    drive(slow, range(50))
    late = monitor(slow, stalls=Stalls("a", 0.5, 3, Clock(1000)))
    simulation.run()
    drawn = Stalls("a", 0.5, 3, Clock(1000))
    arrivals = list(accumulate(drawn.next_ps() for _ in range(50)))
    assert seen.times_ps == arrivals
    assert late.times_ps == [0, *arrivals[:-1]]
