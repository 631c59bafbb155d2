"""Optional packages: found, missing, and broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rtl_models.errors import InputError
from workloads.extras import require


def test_a_package_that_is_there_is_returned() -> None:
    assert require("json.decoder", "any") is sys.modules["json.decoder"]


def test_a_missing_package_is_named_with_the_line_that_installs_it() -> None:
    with pytest.raises(InputError) as caught:
        require("no_such_package.inner", "torch")
    assert str(caught.value) == "this needs the package no_such_package: pip install 'h2learn[torch]'"


def test_what_a_package_itself_lacks_is_not_blamed_on_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import something_else_that_is_missing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="something_else_that_is_missing"):
        require("half_installed", "torch")
