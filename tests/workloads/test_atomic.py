"""A file is replaced whole or not at all, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from rtl_models.errors import InputError
from workloads.atomic import check_writable, replacing


def fail_half_way(target: Path, error: BaseException) -> None:
    with replacing(target) as temporary:
        temporary.write_text("half")
        raise error


def test_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_old_file_stays_on_any_exception(tmp_path: Path, kind: type[BaseException]) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(kind):
        fail_half_way(target, kind())
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    leftover = tmp_path / f".file.{platform.node()}-{int(dead.stdout)}.partial"
    living = tmp_path / f".file.{platform.node()}-{os.getppid()}.partial"
    other = tmp_path / ".file.other-host-1.partial"
    for path in (leftover, living, other):
        path.write_text("x")
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert not leftover.exists()
    assert living.exists()
    assert other.exists()


def test_words_for_a_missing_folder(tmp_path: Path) -> None:
    text = r"none/file: cannot write the file \(No such file or directory\)$"
    with pytest.raises(InputError, match=text), replacing(tmp_path / "none" / "file"):
        pass
    text = "none: the output folder does not exist, allowed: an existing, writable folder$"
    with pytest.raises(InputError, match=text):
        check_writable(tmp_path / "none" / "file")


def test_words_for_a_folder_as_target(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r": is a folder, allowed: the name of a file$"):
        check_writable(tmp_path)


def test_words_for_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)  # root may write everywhere, so the permission bits cannot be used
    text = r": the output folder cannot be written \(Permission denied\), allowed: an existing, writable folder$"
    with pytest.raises(InputError, match=text):
        check_writable(tmp_path / "file")


def test_check_leaves_no_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_the_users_error(tmp_path: Path) -> None:
    text = r"file: cannot write the file \(No space left on device\)$"
    with pytest.raises(InputError, match=text):
        fail_half_way(tmp_path / "file", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert list(tmp_path.iterdir()) == []
