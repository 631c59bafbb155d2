"""The tree keeps what its layout promises; and each check finds the violation it is there for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import architecture

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    path.relative_to(ROOT).as_posix() for package in architecture.PACKAGES for path in (ROOT / package).rglob("*.py")
)
TEXT = {".py", ".sh", ".md", ".toml", ".txt", ".yaml", ".yml", ".cpp", ".h", ".json", ".v", ""}


def tracked_files() -> list[Path]:
    """Return the files of the project: those git knows, or all outside hidden folders where there is no git."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    files = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])]


@pytest.mark.parametrize("path", MODULES)
def test_module(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    for check in (
        architecture.wrong_imports,
        architecture.prints,
        architecture.bare_excepts,
        architecture.too_long,
    ):
        assert check(path, source) == []


def test_nothing_is_tied_to_a_machine() -> None:
    checked, found = 0, []
    for path in tracked_files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in TEXT and name != "tests/test_architecture.py":
            checked += 1
            found += architecture.tied_to_a_machine(name, path.read_text(encoding="utf-8"))
    assert found == []
    assert checked > 20


def test_every_package_was_seen() -> None:
    for package in (*architecture.PACKAGES, *architecture.MAY_IMPORT):
        assert any(architecture.module_name(path) == package for path in MODULES), package


class TestTheChecksThemselves:
    @pytest.mark.parametrize(
        ("path", "source", "imported"),
        [
            ("rtl_models/row.py", "import tlm.kernel", "rtl_models must not import tlm.kernel"),
            ("rtl_models/a/b.py", "from workloads import network", "rtl_models must not import workloads.network"),
            ("rtl_models/a/b.py", "def f():\n    import tlm", "rtl_models must not import tlm"),
            ("workloads/digits.py", "from tlm.config import Config", "workloads must not import tlm.config.Config"),
            ("tlm/kernel/a.py", "from rtl_models.errors import InputError", "tlm.kernel must not import rtl_models"),
            ("tlm/kernel/a.py", "from ..config import Config", "tlm.kernel must not import tlm.config.Config"),
            ("tlm/kernel/__init__.py", "from .. import memory", "tlm.kernel must not import tlm.memory"),
            ("tlm/kernel/a.py", "from tlm import memory", "tlm.kernel must not import tlm.memory"),
            ("tlm/memory/a.py", "import workloads", "tlm.memory must not import workloads"),
            ("tlm/memory/a.py", "from rtl_models import formats", "tlm.memory must not import rtl_models.formats"),
            ("tlm/memory/a.py", "import tlm.kernelx", "tlm.memory must not import tlm.kernelx"),
            ("tlm/schedule/a.py", "import tlm.engines.forward", "tlm.schedule must not import tlm.engines.forward"),
            ("tlm/engines/a.py", "import tlm.cli.run", "tlm.engines must not import tlm.cli.run"),
        ],
    )
    def test_wrong_imports(self, path: str, source: str, imported: str) -> None:
        (found,) = architecture.wrong_imports(path, source)
        assert imported in found

    @pytest.mark.parametrize(
        ("path", "source"),
        [
            ("rtl_models/a.py", "import numpy, rtl_models.errors\nfrom .b import c\nfrom . import d"),
            ("rtl_models/a.py", "import tlmx\nfrom workloads_of_others import x"),
            ("workloads/a.py", "from rtl_models.formats import FloatFormat"),
            ("tlm/cli/run.py", "import rtl_models, workloads.network, tlm.kernel"),
            ("tlm/kernel/__init__.py", "from .time import Clock\nfrom tlm.kernel import errors"),
            ("tlm/memory/a.py", "from rtl_models.errors import InputError\nfrom ..kernel import Module"),
            ("scripts/a.py", "import tlm, workloads"),
        ],
    )
    def test_right_imports(self, path: str, source: str) -> None:
        assert architecture.wrong_imports(path, source) == []

    def test_prints(self) -> None:
        assert architecture.prints("a.py", "x = 1\nprint(x)\nself.print(x)") == ["a.py:2: print"]

    def test_bare_excepts(self) -> None:
        source = "try:\n    f()\nexcept ValueError:\n    pass\nexcept:\n    pass"
        assert architecture.bare_excepts("a.py", source) == ["a.py:5: bare except"]

    def test_too_long(self) -> None:
        assert architecture.too_long("a.py", "x\n" * 400) == []
        assert architecture.too_long("a.py", "x\n" * 401) == ["a.py: 401 lines, at most 400"]

    @pytest.mark.parametrize(
        "text",
        [
            "open('/root/x')",
            "cd /work/main",
            "see /home/me/notes",
            "--index-url https://x",
            "from pypi.org",
            "files.pythonhosted.org",
        ],
    )
    def test_tied_to_a_machine(self, text: str) -> None:
        (found,) = architecture.tied_to_a_machine("a.md", f"\n{text}")
        assert found.startswith("a.md:2: ")

    @pytest.mark.parametrize("text", ["root/x", "$root/scripts", "workloads/network.py", "/usr/bin/env", "a/work/b"])
    def test_not_tied_to_a_machine(self, text: str) -> None:
        assert architecture.tied_to_a_machine("a.md", text) == []
