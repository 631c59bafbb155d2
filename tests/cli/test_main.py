"""The command `h2learn`: help without imports, one line and one exit code per error, signals, closed and full pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from rtl_models.errors import InputError
from tlm.cli import errors, main
from tlm.cli.errors import failure_of
from tlm.cli.lazy import LazyCommand, LazyGroup
from tlm.cli.main import COMMANDS, h2learn
from tlm.cli.verify import verify
from tlm.kernel.errors import KernelError

WAIT_S = 120  # only a hang takes as long, however busy the machine
HEAVY = {"numpy", "numba", "matplotlib", "sklearn", "pyarrow", "h5py", "simpy", "myhdl", "pydantic", "rich", "yaml"}


def raising(error: BaseException) -> click.Command:
    """Return a command that raises `error`."""

    @click.command("fail")
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run `h2learn fail`, a command that raises what it is given; returns the exit code."""

    def run(error: BaseException, *options: str) -> int:
        monkeypatch.setitem(h2learn.commands, "fail", raising(error))
        return main.main([*options, "fail"])

    return run


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT_S, check=False)


class TestHelp:
    def test_help_imports_nothing_heavy(self) -> None:
        code = "import sys; from tlm.cli.main import main; main(['--help']); print('|', *sorted(sys.modules))"
        loaded = {name.split(".")[0] for name in run_python(code).stdout.partition("|")[2].split()}
        assert "click" in loaded
        assert loaded & HEAVY == set()

    def test_help_names_every_command_and_exit_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.main(["-h"]) == 0
        text = capsys.readouterr().out
        words = " ".join(text.split())
        for name, command in COMMANDS.items():
            assert f"{name} {command.short_help}" in words
        for code in (0, 1, 2, 70, 130):
            assert f"\n    {code} " in text

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.main(["--version"]) == 0
        assert capsys.readouterr().out == f"h2learn {version('h2learn')}\n"

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_help(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.main([name, "-h"]) == 0
        assert f"Usage: h2learn {name} " in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["dataflow", "bptt", "dram"])
    def test_every_verification_has_help(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.main(["verify", name, "-h"]) == 0
        assert f"Usage: h2learn verify {name} " in capsys.readouterr().out

    def test_completion_reads_the_table(self) -> None:
        ctx = click.Context(h2learn)
        assert [item.value for item in h2learn.shell_complete(ctx, "tra")] == ["train", "trace"]
        assert [item.value for item in h2learn.shell_complete(ctx, "--de")] == ["--debug"]

    def test_completion_script(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("_H2LEARN_COMPLETE", "zsh_source")
        assert main.main([]) == 0
        assert "#compdef h2learn" in capsys.readouterr().out


class TestLazyGroup:
    def test_a_target_that_is_no_command_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"^os:sep is not a click command, got '/'$"):
            LazyCommand("os:sep", "").load()

    def test_commands_added_by_hand_stand_behind_the_table(self) -> None:
        group = LazyGroup("group", {"b": LazyCommand("no.such.module:b", "Lazy.")})
        group.add_command(click.Command("a", help="By hand."))
        ctx = click.Context(group)
        assert group.list_commands(ctx) == ["b", "a"]
        assert group.get_command(ctx, "a") is group.commands["a"]
        assert group.get_command(ctx, "c") is None
        text = group.get_help(ctx)
        assert text.index("b  Lazy.") < text.index("a  By hand.")


class TestUsageErrors:
    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ([], f"missing command, allowed: {', '.join(COMMANDS)}"),
            (["rnu"], f"unknown command, got 'rnu', allowed: {', '.join(COMMANDS)}; did you mean run?"),
            (["--deubg"], "unknown option, got '--deubg', allowed: --version, --debug, --help; did you mean --debug?"),
            (["-q"], "unknown option, got '-q', allowed: --version, --debug, --help"),
            (["verify"], "verify: missing command, allowed: dataflow, bptt, dram"),
            (["verify", "x"], "verify: unknown command, got 'x', allowed: dataflow, bptt, dram"),
            (
                ["list", "network"],
                "list: unknown command, got 'network', allowed: networks, presets; did you mean networks?",
            ),
            (
                ["list", "networks", "x"],
                "list networks: Got unexpected extra argument (x) (see 'h2learn list networks --help')",
            ),
        ],
    )
    def test_one_line(self, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main.main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == f"h2learn: error: {line}\n"

    def test_choice_over_several_lines_becomes_one(self, capsys: pytest.CaptureFixture[str]) -> None:
        command = click.Command("pick", params=[click.Argument(["kind"], type=click.Choice(["a", "b"]))])
        with pytest.raises(click.MissingParameter) as caught, command.make_context("h2learn pick", []):
            pass
        failure = failure_of(caught.value)
        assert failure.exit_code == 2
        assert "\n" not in failure.line
        assert failure.line.startswith("h2learn: error: pick: Missing argument")
        assert "a, b" in failure.line


class TestExceptions:
    @pytest.mark.parametrize(
        ("error", "exit_code", "line"),
        [
            (
                InputError("unknown network", "network", "x", "a, b"),
                2,
                "error: network: unknown network, got 'x', allowed: a, b",
            ),
            (KernelError("too\nlong"), 2, "error: too long"),
            (FileNotFoundError(2, "No such file or directory", "f"), 2, "error: f: No such file or directory"),
            (OSError(28, "No space left on device"), 2, "error: No space left on device"),
            (OSError("unable to open file"), 2, "error: unable to open file"),
            (OSError(), 2, "error: OSError"),
            (MemoryError(), 2, "error: not enough memory"),
            (MemoryError("1 TiB"), 2, "error: not enough memory (1 TiB)"),
            (click.ClickException("a mistake"), 2, "error: a mistake"),
            (click.UsageError("a mistake"), 2, "error: fail: a mistake (see 'h2learn fail --help')"),
            (KeyboardInterrupt(), 130, "interrupted"),
            (click.Abort(), 130, "interrupted"),
            (errors.Terminated(), 143, "terminated"),
        ],
    )
    def test_one_line_and_exit_code(
        self,
        error: BaseException,
        exit_code: int,
        line: str,
        fail_with: Callable[..., int],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert fail_with(error) == exit_code
        assert capsys.readouterr().err == f"h2learn: {line}\n"

    def test_broken_pipe_is_quiet(self, fail_with: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
        assert fail_with(BrokenPipeError(32, "Broken pipe")) == 141
        assert capsys.readouterr().err == ""

    def test_bug(self, fail_with: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
        assert fail_with(ZeroDivisionError("division by\nzero")) == 70
        line = capsys.readouterr().err
        assert line.startswith("h2learn: error: ZeroDivisionError: division by zero (this is a bug: please run ")
        assert line.count("\n") == 1

    def test_comparison_failed(self, fail_with: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
        assert fail_with(click.exceptions.Exit(1)) == 1
        assert capsys.readouterr().err == ""

    def test_debug_shows_the_traceback(
        self, fail_with: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert fail_with(InputError("wrong"), "--debug") == 2
        by_option = capsys.readouterr().err
        assert by_option.startswith("Traceback")
        assert by_option.endswith("\nh2learn: error: wrong\n")
        monkeypatch.setenv("H2LEARN_DEBUG", "1")
        assert fail_with(InputError("wrong")) == 2
        assert capsys.readouterr().err.startswith("Traceback")

    def test_kernel_errors_are_known_without_the_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "tlm.kernel.errors")
        assert failure_of(InputError("wrong")).exit_code == 2
        assert failure_of(KernelError("wrong")).exit_code == 70


WAITING = """
import click, sys, time
from tlm.cli.main import h2learn, main
@h2learn.command()
def wait():
    try:
        print("waiting", flush=True)
        time.sleep(600)
    finally:
        print("cleaned up", flush=True)
sys.exit(main(["wait"]))
"""


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "exit_code", "line"),
        [(signal.SIGINT, 130, "h2learn: interrupted\n"), (signal.SIGTERM, 143, "h2learn: terminated\n")],
    )
    def test_cleans_up_and_says_one_line(self, number: int, exit_code: int, line: str) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=WAIT_S)
        assert (child.returncode, out, err) == (exit_code, "cleaned up\n", line)

    def test_a_forked_worker_dies_of_sigterm_as_always(self) -> None:
        code = """
import os, signal, sys, time
from tlm.cli.main import h2learn, main
@h2learn.command()
def fork():
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(tell, b"x")
        time.sleep(600)
        os._exit(0)
    os.read(ready, 1)
    os.kill(pid, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
sys.exit(main(["fork"]))
"""
        done = run_python(code)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{-signal.SIGTERM}\n", "")

    def test_the_handler_is_put_back(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        main.main(["--version"])
        assert signal.getsignal(signal.SIGTERM) is before


class TestOutput:
    def test_reader_that_goes_away(self) -> None:
        read_end, write_end = os.pipe()
        os.close(read_end)
        try:
            done = self.run_help(write_end)
        finally:
            os.close(write_end)
        assert (done.returncode, done.stderr) == (141, "")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    def test_full_disk(self) -> None:
        with Path("/dev/full").open("w") as full:
            done = self.run_help(full.fileno())
        assert (done.returncode, done.stderr) == (2, "h2learn: error: No space left on device\n")

    @staticmethod
    def run_help(stdout: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "import sys; from tlm.cli.main import main; sys.exit(main(['-h']))"]
        return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)


@pytest.mark.benchmark
def test_help_and_mistakes_answer_within_300_ms() -> None:
    for arguments in (["--help"], ["rnu"]):
        times_s = []
        for _ in range(5):
            start_s = time.perf_counter()
            subprocess.run([sys.executable, "-m", "tlm.cli", *arguments], capture_output=True, check=False)
            times_s.append(time.perf_counter() - start_s)
        assert sorted(times_s)[2] < 0.3


def test_the_verify_group_is_the_one_in_the_table() -> None:
    assert COMMANDS["verify"].load() is verify
