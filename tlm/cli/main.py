"""The command `h2learn`: its commands, its exit codes, and the one place where exceptions become lines on stderr."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from tlm.cli.errors import GOOD, Failure, Terminated, failure_of
from tlm.cli.lazy import LazyCommand, LazyGroup

EPILOG = """\b
Exit codes:
  0    good
  1    a comparison failed: bits, cycles, times or gradients differ
  2    the user's mistake, explained in one line
  70   a bug in h2learn
  130  interrupted by Ctrl-C (143: terminated; 141: stdout was closed); no partial file is left
"""

COMMANDS = {
    "run": LazyCommand("tlm.cli.run:run", "Train, simulate and co-simulate; write results into a folder."),
    "train": LazyCommand("tlm.cli.train:train", "Train a network and capture one training step as a trace."),
    "trace": LazyCommand("tlm.cli.trace:trace", "Look into trace files."),
    "cosim": LazyCommand("tlm.cli.cosim:cosim", "Compare reference, MyHDL and Verilated tiles of a trace."),
    "verify": LazyCommand("tlm.cli.verify:verify", "Compare the models with reference results."),
    "dram": LazyCommand("tlm.cli.dram:dram", "Replay DRAM requests, record a step's, list the standards."),
    "gpu": LazyCommand("tlm.cli.gpu:gpu", "Estimate a training step on a GPU; check the estimate."),
    "area": LazyCommand("tlm.cli.area:area", "Show the transistors and the area of a configuration."),
    "evaluate": LazyCommand("tlm.cli.evaluate:evaluate", "Compare training steps of whole networks with a GPU."),
    "search": LazyCommand("tlm.cli.search:search", "Search the fastest machine within an area."),
    "sweep": LazyCommand("tlm.cli.sweep:sweep", "Simulate every point of a grid, a list or a search."),
    "energy": LazyCommand("tlm.cli.energy:energy", "Simulate a trace and show the energy of its step."),
    "study": LazyCommand("tlm.cli.study:study", "Simulate a step many times: what bandwidth and buffers it needs."),
    "compare-arithmetic": LazyCommand(
        "tlm.cli.compare_arithmetic:compare_arithmetic", "Train a network in several number formats and compare."
    ),
    "report": LazyCommand("tlm.cli.report:report", "Write the results in a folder as one web page."),
    "export": LazyCommand("tlm.cli.export:export", "Write traces and networks in the formats of other tools."),
    "import": LazyCommand("tlm.cli.import_network:import_network", "Read networks of other frameworks."),
    "list": LazyCommand("tlm.cli.list:listing", "List the networks and presets that come with h2learn."),
    "config": LazyCommand("tlm.cli.config:config", "Show configurations."),
    "completion": LazyCommand("tlm.cli.completion:completion", "Print a shell's script that completes h2learn."),
}


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.obj["debug"] = value


@click.group(
    cls=LazyGroup,
    name="h2learn",
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(package_name="h2learn", message="%(prog)s %(version)s")
@click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_debug,
    envvar="H2LEARN_DEBUG",
    help="Show the traceback of every error (also: H2LEARN_DEBUG=1).",
)
def h2learn() -> None:
    """H2Learn, an accelerator that trains spiking neural networks, as a transaction-level model checked against RTL."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of the process, and return its exit code; only SystemExit escapes."""
    settings = {"debug": False}
    try:
        with _sigterm_as_exception():
            exit_code = _invoke(list(sys.argv[1:] if arguments is None else arguments), settings)
            sys.stdout.flush()
            return exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the outermost level: here errors become lines
        _discard_unwritable_output()
        return _report(error, failure_of(error), settings["debug"])


def _invoke(arguments: list[str], settings: dict[str, bool]) -> int:
    """Run one command; click's own `main` would print in its own way and map exceptions to its own exit codes."""
    completion = os.environ.get("_H2LEARN_COMPLETE")
    if completion:
        from tlm.cli.completion import answer

        return answer(h2learn, settings, completion)
    try:
        with h2learn.make_context("h2learn", arguments, obj=settings) as ctx:
            h2learn.invoke(ctx)
    except click.exceptions.Exit as request:
        return request.exit_code
    return GOOD


def _report(error: BaseException, failure: Failure, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if failure.line:
        click.echo(failure.line, err=True)
    return failure.exit_code


def _discard_unwritable_output() -> None:
    """Send what stdout still holds nowhere if it cannot be written, or the interpreter complains on its way out."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM, in this process only: a forked worker dies of it as it always would."""
    own_pid = os.getpid()

    def on_sigterm(number: int, _: FrameType | None) -> None:
        if os.getpid() != own_pid:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise Terminated

    before = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
