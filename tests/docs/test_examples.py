"""Every example of the documentation runs, and prints what its page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.examples import NOT_RUN, PAGES, ROOT, SLOW, VERILATOR, commands, examples, run_page, same
from tests.docs.prepared import prepare

RUN = [page for page in PAGES if any(not example.mark.startswith(NOT_RUN) for example in examples(page))]
WITH_SLOW = [page for page in RUN if any(example.mark == SLOW for example in examples(page))]
NO_VERILATOR = () if shutil.which("verilator") else (VERILATOR,)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepare(folder)
    return folder


@pytest.mark.parametrize("page", RUN, ids=name)
def test_examples(page: Path, prepared: Path, tmp_path: Path) -> None:
    prepare(tmp_path, prepared)
    wrong = run_page(page, tmp_path, (SLOW, *NO_VERILATOR))
    assert not wrong, "\n\n".join([*wrong, "python -m tests.docs.update PAGE writes today's outputs"])


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SLOW, ids=name)
def test_slow_examples(page: Path, prepared: Path, tmp_path: Path) -> None:
    prepare(tmp_path, prepared)
    assert run_page(page, tmp_path, NO_VERILATOR) == []


def test_marks_are_known() -> None:
    for page in PAGES:
        for example in examples(page):
            reason = example.mark.removeprefix(f"{NOT_RUN}: ")
            known = example.mark in ("", SLOW, VERILATOR) or (reason != example.mark and reason.strip())
            assert known, f"{example.where}: {example.mark!r}"


class TestTheMechanism:
    @staticmethod
    def page(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr("tests.docs.examples.ROOT", folder)
        path = folder / "page.md"
        path.write_text(text)
        return path

    @pytest.mark.parametrize(
        ("text", "differences"),
        [
            ('```python\nx = 2\nx + 1\n```\n\n```text title="Output"\n3\n```\n', 0),
            ('```python\nprint("a 1.5 s")\n```\n```text title="Output"\na ... s\n```\n', 0),
            ('```python\nx = 2\n```\ntext\n```python\nprint(x)\n```\n```text title="Output"\n2\n```\n', 0),
            ('```python\nprint(3)\n```\n```text title="Output"\n4\n```\n', 1),
            ("```python\nprint(3)\n```\n", 1),
            ('```python\nx = 3\n```\n```text title="Output"\n3\n```\n', 1),
            ("```console\n$ h2learn list presets  # all\n...edge...\n$ h2learn --version\nh2learn 1\n```\n", 1),
            ("```console\n$ h2learn --version > a.txt\n$ h2learn list presets\n...edge...\n```\n", 0),
            ("<!-- example: not run: no such file -->\n```python\nopen('x')\n```\n", 0),
            ("<!-- example: slow -->\n\n```python\nprint(1)\n```\n```python\nprint(2)\n```\n", 1),
        ],
    )
    def test_what_differs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, differences: int) -> None:
        page = self.page(tmp_path, text, monkeypatch)
        assert len(run_page(page, tmp_path, (SLOW,))) == differences

    def test_a_block_with_a_file_name_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = self.page(tmp_path, '```yaml title="a.yaml"\nk: 1\n```\n', monkeypatch)
        assert run_page(page, tmp_path) == []
        assert (tmp_path / "a.yaml").read_text() == "k: 1\n"

    def test_the_place_of_a_mistake(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = self.page(tmp_path, "# Title\n\n```python\n\n1 / 0\n```\n", monkeypatch)
        with pytest.raises(ZeroDivisionError) as caught:
            run_page(page, tmp_path)
        assert (caught.traceback[-1].lineno + 1, str(caught.traceback[-1].path)) == (5, "page.md:4")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("```console\nh2learn list presets\n```\n", r"page.md:2: a console block begins with '\$ '"),
            ("```console\n$ rm -r x\n```\n", "page.md:2: cannot run rm, only h2learn and pytest"),
            ("```console\n$ h2learn trace info x\n```\n", "page.md:2: h2learn trace info x: exit code 2: .*x"),
            ('text\n```text title="Output"\n1\n```\n', "page.md:3: an output must follow a python block"),
        ],
    )
    def test_words(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
        page = self.page(tmp_path, text, monkeypatch)
        with pytest.raises(ValueError, match=words):
            run_page(page, tmp_path)

    def test_long_commands(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = self.page(tmp_path, "```console\n$ h2learn run \\\n  x\nout\n$ h2learn area\n```\n", monkeypatch)
        (example,) = examples(page)
        assert [(command, output) for _, command, output in commands(example)] == [
            ("h2learn run    x", "out\n"),
            ("h2learn area", ""),
        ]

    def test_blanks_at_the_ends_of_lines_do_not_count(self) -> None:
        assert same("a\nb\n", "a  \nb\n\n")
        assert not same("a\nb\n", "a\nb\nc\n")
        assert not same("", "c\n")
