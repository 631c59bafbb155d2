"""Journals of long jobs: what was written whole comes back, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import rtl_models
import workloads
from rtl_models.errors import InputError
from tlm.journal import Journal, run_identity


def journal(path: Path) -> Journal[str, list[int]]:
    """A journal of lists of numbers."""
    return Journal(path / "parts.jsonl", "the test", list, list)


def test_results_come_back_by_their_keys_until_the_job_is_finished(tmp_path: Path) -> None:
    with journal(tmp_path) as one:
        one.add("b", [1, 2])
        one.add("a", [])
    with journal(tmp_path) as again:
        assert again.done == {"b": [1, 2], "a": []}
        again.finish()
    with journal(tmp_path) as fresh:
        assert fresh.done == {}


@pytest.mark.parametrize("damage", ["cut short", "flipped"])
def test_a_line_that_is_not_whole_ends_the_journal(damage: str, tmp_path: Path) -> None:
    with journal(tmp_path) as one:
        one.add("a", [1])
        one.add("b", [2])
    content = bytearray(one.path.read_bytes())
    if damage == "cut short":
        del content[-4:]
    else:
        content[-4] ^= 1
    one.path.write_bytes(content)
    with journal(tmp_path) as again:
        assert again.done == {"a": [1]}
        again.add("c", [3])
    with journal(tmp_path) as third:
        assert third.done == {"a": [1], "c": [3]}


def test_the_second_of_two_keeps_none(tmp_path: Path) -> None:
    with journal(tmp_path) as one, journal(tmp_path) as other:
        assert (one.recording, other.recording) == (True, False)
        other.add("a", [1])
        other.finish()
    with journal(tmp_path) as again:
        assert again.done == {}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"parts\.jsonl: cannot write the journal of the test \("):
        journal(tmp_path / "file")


def test_a_full_disk_is_said_and_what_was_whole_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with journal(tmp_path) as one:
        one.add("a", [1])
        monkeypatch.setattr(os, "fsync", full)
        words = r"parts\.jsonl: cannot write the journal of the test \(No space left on device\)"
        with pytest.raises(InputError, match=words):
            one.add("b", [2])
    one.path.write_bytes(one.path.read_bytes()[:-3])
    with journal(tmp_path) as again:
        assert again.done == {"a": [1]}


def test_a_run_is_named_by_its_parts_and_by_the_programs_that_decide_it() -> None:
    names = [run_identity(parts) for parts in (["a", "1"], ["a", "2"], ["a1"])]
    names.append(run_identity(["a", "1"], (rtl_models, workloads)))
    assert len(set(names)) == 4
    assert run_identity(["a", "1"]) == names[0]
