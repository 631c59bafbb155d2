"""What the command line says and returns when something goes wrong: one line and one exit code per exception."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import click

from rtl_models.errors import InputError

GOOD = 0
COMPARISON_FAILED = 1
USER_MISTAKE = 2
BUG = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE
TERMINATED = 143  # 128 + SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: cleaned up after like Ctrl-C, by the same ``except`` and ``finally`` clauses."""


@dataclass(frozen=True)
class Failure:
    """An exit code, and the line for stderr (empty: nothing is said)."""

    exit_code: int
    line: str


def failure_of(error: BaseException) -> Failure:
    """Return how the command line answers `error`; what is not known to be the user's mistake is a bug."""
    if isinstance(error, Terminated):
        return Failure(TERMINATED, "h2learn: terminated")
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Failure(INTERRUPTED, "h2learn: interrupted")
    if isinstance(error, BrokenPipeError):
        return Failure(BROKEN_PIPE, "")
    text = _mistake(error)
    if text is not None:
        return Failure(USER_MISTAKE, f"h2learn: error: {_one_line(text)}")
    name = type(error).__name__
    advice = (
        "this is a bug: please run the same with 'h2learn --debug ...' or H2LEARN_DEBUG=1, and report what it prints"
    )
    return Failure(BUG, f"h2learn: error: {_one_line(f'{name}: {error}')} ({advice})")


def _mistake(error: BaseException) -> str | None:
    """Return the text of a user's mistake, None for any other exception."""
    if isinstance(error, click.ClickException):
        return _click_text(error)
    if isinstance(error, MemoryError):
        return f"not enough memory ({error})" if error.args else "not enough memory"
    if isinstance(error, OSError):
        return _os_text(error)
    if isinstance(error, (InputError, *_kernel_errors())):
        return str(error)
    return None


def _kernel_errors() -> tuple[type[Exception], ...]:
    """Return the kernel's base error, if the kernel was imported at all: it is not worth importing to find out."""
    module = sys.modules.get("tlm.kernel.errors")
    return (module.KernelError,) if module else ()


def _os_text(error: OSError) -> str:
    if error.strerror is None:
        return str(error) or type(error).__name__
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _click_text(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is None:
        return error.format_message()
    _, _, where = ctx.command_path.partition(" ")
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return str(InputError("missing command", where, None, ", ".join(_commands(ctx))))
    if isinstance(error, click.exceptions.NoSuchCommand):
        return _unknown("command", where, error.command_name, _commands(ctx))
    if isinstance(error, click.NoSuchOption):
        return _unknown("option", where, error.option_name, _options(ctx))
    place = f"{where}: " if where else ""
    return f"{place}{error.format_message().rstrip('.')} (see '{ctx.command_path} --help')"


def _unknown(kind: str, where: str, got: str, allowed: list[str]) -> str:
    text = str(InputError(f"unknown {kind}", where, got, ", ".join(allowed)))
    close = difflib.get_close_matches(got, allowed, n=1)
    return f"{text}; did you mean {close[0]}?" if close else text


def _commands(ctx: click.Context) -> list[str]:
    return ctx.command.list_commands(ctx) if isinstance(ctx.command, click.Group) else []


def _options(ctx: click.Context) -> list[str]:
    options = (parameter for parameter in ctx.command.get_params(ctx) if isinstance(parameter, click.Option))
    return [_longest((*option.opts, *option.secondary_opts)) for option in options if not option.hidden]


def _longest(spellings: Iterable[str]) -> str:
    return max(spellings, key=len)


def _one_line(text: str) -> str:
    return " ".join(text.split())
