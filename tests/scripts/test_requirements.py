"""The pinned requirements fit pyproject.toml and name no place to download from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN = PROJECT["build-system"]["requires"] + PROJECT["project"]["dependencies"]
DEV = RUN + PROJECT["project"]["optional-dependencies"]["dev"]


def pins(name: str) -> dict[str, str]:
    """Return package -> version of a requirements file; every line must be a pin or a comment."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.lstrip().startswith("#"):
            match = re.fullmatch(r"([a-z0-9][a-z0-9._-]*)==([\w.]+)", line)
            assert match, line
            found[canonicalize_name(match[1])] = match[2]
    return found


@pytest.mark.parametrize(("name", "wanted"), [("requirements.txt", RUN), ("requirements-dev.txt", DEV)])
def test_pins_fit_the_project(name: str, wanted: list[str]) -> None:
    pinned = pins(name)
    for requirement in map(Requirement, wanted):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_what_users_may_add_is_pinned_for_the_tests() -> None:
    pinned = pins("requirements-frameworks.txt")
    for extra in ("torch", "tonic"):
        for requirement in map(Requirement, PROJECT["project"]["optional-dependencies"][extra]):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_the_tests_run_with_the_programs_pins() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()
