"""Tables are not cut where nobody watches a terminal."""

from __future__ import annotations

import pytest

from tlm.cli.console import WIDTH_WITHOUT_TERMINAL, output_console


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
