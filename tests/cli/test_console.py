"""Tables are not cut where nobody watches a terminal, colours and progress are for those who do."""

from __future__ import annotations

import io
import sys

import pytest

from tlm.cli.console import WIDTH_WITHOUT_TERMINAL, output_console
from tlm.cli.run import progress_bar


def test_output_that_is_piped_does_not_depend_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output_console().print("x" * WIDTH_WITHOUT_TERMINAL)
    assert capsys.readouterr().out == "x" * WIDTH_WITHOUT_TERMINAL + "\n"


def test_brackets_are_text_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    output_console().print("[bold]a[/]")
    output_console(markup=True).print("[bold]a[/]")
    assert capsys.readouterr().out == "[bold]a[/]\na\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_colour", "red"), [("", True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(no_colour: str, red: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_colour)
    for stream, shown in ((Terminal(), red), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stdout", stream)
        output_console(markup=True).print("[red]a[/]")
        assert ("\x1b[31m" in stream.getvalue()) == shown


def test_progress_is_quiet_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as report:
        report("training", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_goes_away_is_no_failed_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        output_console().print("a")
