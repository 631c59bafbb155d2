"""Files that are not what a command reads: one line each, exit code 2, and a traceback only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tlm.cli import main


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


KINDS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "loop": _loop,
    "empty": lambda path: path.touch(),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "latin": lambda path: path.write_bytes("name: café\n".encode("latin-1")),
    "deep": lambda path: path.write_text("[" * 600),
    "other": lambda path: path.write_text("- 1\n- 2\n"),
}
READERS = {
    "network": "config placement {}.yaml",
    "configuration": "config show {}.yaml",
    "standard": "dram standards {}.yaml",
    "trace": "trace info {}.h5",
    "energy": "energy {}.h5",
    "dataflow": "verify dataflow {}.json",
    "bptt": "verify bptt {}.npz",
    "rows": "verify dram {}.csv",
    "requests": "dram replay {}.txt --standard DDR4",
    "tile": "cosim --replay {}.tile",
    "measured": "gpu cifar-cnn --measured {}.json",
    "sweep": "sweep {}.yaml",
}
ALLOWED = {("configuration", "empty")}
"""A configuration without keys is the default one."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_one_line(
    reader: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = READERS[reader].format(kind).split()
    file = next(word for word in words if word.startswith(kind))
    KINDS[kind](tmp_path / file)
    exit_code = main.main(words)
    out, err = capsys.readouterr()
    if (reader, kind) in ALLOWED:
        assert exit_code == 0
        return
    assert exit_code == 2, err
    assert out == ""
    assert err.startswith("h2learn: error: ")
    assert err.count("\n") == 1
    assert kind in err  # the file's name
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ([] if kind == "missing" else [file])


@pytest.mark.parametrize("path", ["x" * 300 + ".yaml", "file.yaml/below.yaml", ""])
def test_a_path_that_cannot_be(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.yaml").touch()
    for command in (["config", "show"], ["config", "placement"], ["trace", "info"]):
        assert main.main([*command, path]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("value", ["1e999", "9" * 40, "-1", ".nan", "[1, 2]", "{a: 1}", "true", ""])
def test_a_number_that_cannot_be(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["config", "show", "--set", f"clock_period_ps={value}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("h2learn: error: h2learn: clock_period_ps: ")
    assert err.count("\n") == 1


def test_debug_shows_where_it_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--debug", "trace", "info", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1].startswith("h2learn: error: ")
