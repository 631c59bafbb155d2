"""run.sh and test.sh on a made-up machine: what they install, when they do nothing, what they say when they cannot.

The machine is a folder of commands that is the whole PATH; its Python, pip, apt-get and sudo only write down what they
were asked to do.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
WAIT_S = 120  # only a hang takes as long, however busy the machine
COREUTILS = "bash env cat sha256sum mkdir touch mv rm dirname readlink flock sleep chmod ln"

# Answers what the scripts ask a Python, "creates" environments whose commands are scripts, and logs what pip is told.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    "-c ") ;;
    "-c import sys;"*) [[ ! -e "$MACHINE/old" ]] ;;
    "-c import venv, ensurepip") [[ ! -e "$MACHINE/no-venv" ]] ;;
    --version) echo "Python ${VERSION:-3.11.9}" ;;
    "-m venv "*)
        mkdir -p "$3/bin"
        ln -s "$0" "$3/bin/python"
        echo "version = 3.11.9" >"$3/pyvenv.cfg" ;;
    "-m pip "*)
        echo "pip ${*: -1}" >>"$MACHINE/log"
        [[ ! -e "$MACHINE/pip-hangs" ]] || sleep 600
        [[ ! -e "$MACHINE/pip-fails" ]] || exit 1
        for tool in h2learn ruff mypy mkdocs; do
            printf '#!/usr/bin/env bash\\necho "%s $*"\\nexit "${EXIT_%s:-0}"\\n' "$tool" "$tool" >"$PWD_VENV/bin/$tool"
            chmod +x "$PWD_VENV/bin/$tool"
        done ;;
    "-m tests.compile_kernels") echo compile >>"$MACHINE/log" ;;
    "-m pytest --collect-only "*) echo "collect ${*: -1}" >>"$MACHINE/log" ;;
    "-m pytest "*) echo "$*${PYTHONDONTWRITEBYTECODE+ without byte code}" ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
APT_GET = """#!/usr/bin/env bash
echo "apt-get $*" >>"$MACHINE/log"
[[ "$1" == install ]] || exit 0
if [[ -e "$MACHINE/apt-fails" ]]; then
    echo "Reading" >&2
    echo "E: no such package" >&2
    exit 100
fi
rm -f "$MACHINE/no-venv"
[[ ! -e "$MACHINE/apt-puts-elsewhere" ]] || exit 0
for tool in verilator g++ make iverilog yosys chromium chromedriver; do
    ln -sf id "$MACHINE/bin/$tool"
done
"""


class Machine:
    """A checkout and a PATH in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.root = folder / "check out"
        self.log = folder / "log"
        self.venv = self.root / ".venv"
        self.bin.mkdir()
        (self.root / "scripts").mkdir(parents=True)
        for script in SCRIPTS.glob("*.sh"):
            shutil.copy(script, self.root / "scripts")
        for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
            (self.root / name).write_text(f"{name}\n")
        (self.root / "requirements-frameworks.txt").write_text("# comment\nsnntorch==1.0\ntorch==2.0\n")
        for tool in COREUTILS.split():
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.command("python3.11", PYTHON)
        self.command("id", "#!/usr/bin/env bash\necho 0\n")
        for tool in ("verilator", "g++", "make", "iverilog", "yosys", "chromium", "chromedriver"):
            self.command(tool, "#!/usr/bin/env bash\n")

    def command(self, name: str, text: str) -> None:
        """Put a command on the PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def state(self, *names: str) -> None:
        """Switch on a behaviour of the made-up commands."""
        for name in names:
            (self.folder / name).touch()

    def start(self, script: str, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """Start a script without waiting for it."""
        environment = {"PATH": str(self.bin), "MACHINE": str(self.folder), "PWD_VENV": str(self.venv)}
        return subprocess.Popen(
            [str(self.root / "scripts" / script), *arguments],
            env=environment | extra,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, *arguments: str, **extra: str) -> tuple[int, str, list[str]]:
        """Run a script; returns its exit code, its stdout and the lines of its stderr."""
        child = self.start(script, *arguments, **extra)
        out, err = child.communicate(timeout=WAIT_S)
        return child.returncode, out, err.splitlines()

    def logged(self) -> list[str]:
        """What pip and apt-get were asked since the last call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    limit = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < limit, "the condition never held"
        time.sleep(0.01)


class TestRun:
    def test_first_start_installs_and_passes_arguments_on(self, machine: Machine) -> None:
        code, out, err = machine.run("run.sh", "digits-mlp", "--out", "a b")
        assert (code, out) == (0, "h2learn run digits-mlp --out a b\n")
        assert machine.logged() == [f"pip {machine.root}/requirements.txt", f"pip {machine.root}"]
        assert err[:2] == [
            "h2learn: creating .venv with Python 3.11.9",
            "h2learn: installing the pinned packages into .venv (once, one to three minutes)",
        ]
        assert err[2].startswith("h2learn: packages ready after ")
        assert len(err) == 3

    def test_second_start_does_nothing_else(self, machine: Machine) -> None:
        machine.run("run.sh")
        machine.logged()
        assert machine.run("run.sh", "x") == (0, "h2learn run x\n", [])
        assert machine.logged() == []

    def test_exit_code_comes_back(self, machine: Machine) -> None:
        assert machine.run("run.sh", EXIT_h2learn="1")[0] == 1
        assert machine.run("run.sh", EXIT_h2learn="130")[0] == 130

    def test_through_a_link_and_from_another_folder(self, machine: Machine) -> None:
        (machine.root / "scripts" / "link.sh").symlink_to(machine.root / "scripts" / "run.sh")
        assert machine.run("link.sh")[:2] == (0, "h2learn run\n")

    @pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", ".venv/pyvenv.cfg"])
    def test_a_change_installs_again_into_the_same_environment(self, machine: Machine, name: str) -> None:
        machine.run("run.sh")
        machine.logged()
        (machine.venv / "kept").touch()
        with (machine.root / name).open("a") as file:
            file.write("changed\n")
        assert machine.run("run.sh")[0] == 0
        assert len(machine.logged()) == 2
        assert (machine.venv / "kept").exists()

    def test_a_moved_checkout_installs_again(self, machine: Machine) -> None:
        machine.run("run.sh")
        machine.logged()
        machine.root = machine.root.rename(machine.folder / "moved")
        machine.venv = machine.root / ".venv"
        assert machine.run("run.sh")[0] == 0
        assert len(machine.logged()) == 2

    def test_the_site_is_built_strictly(self, machine: Machine) -> None:
        assert machine.run("site.sh", "--quiet")[:2] == (0, "mkdocs build --strict --quiet\n")
        machine.logged()
        assert machine.run("site.sh", EXIT_mkdocs="1")[0] == 1
        assert machine.logged() == []

    def test_the_tests_environment_serves_both(self, machine: Machine) -> None:
        machine.run("test.sh")
        machine.logged()
        assert machine.run("run.sh")[:2] == (0, "h2learn run\n")
        assert machine.logged() == []


class TestInterruption:
    def test_the_next_start_begins_anew(self, machine: Machine) -> None:
        machine.state("pip-hangs")
        child = machine.start("run.sh")
        wait_until(machine.log.exists)
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        (machine.folder / "pip-hangs").unlink()
        (machine.venv / "half-installed").touch()
        assert machine.run("run.sh")[0] == 0
        assert not (machine.venv / "half-installed").exists()
        assert machine.run("run.sh") == (0, "h2learn run\n", [])

    def test_an_environment_of_somebody_else_is_not_emptied(self, machine: Machine) -> None:
        (machine.venv / "bin").mkdir(parents=True)
        (machine.venv / "bin" / "python").symlink_to(machine.bin / "python3.11")
        (machine.venv / "pyvenv.cfg").touch()
        (machine.venv / "theirs").touch()
        machine.state("pip-fails")
        assert machine.run("run.sh")[0] == 69
        (machine.folder / "pip-fails").unlink()
        assert machine.run("run.sh")[0] == 0
        assert (machine.venv / "theirs").exists()

    def test_an_environment_without_python_is_made_anew(self, machine: Machine) -> None:
        machine.run("run.sh")
        (machine.venv / "bin" / "python").unlink()
        assert "h2learn: creating .venv with Python 3.11.9" in machine.run("run.sh")[2]

    def test_two_starts_install_once(self, machine: Machine) -> None:
        descriptor = os.open(machine.root, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        children = [machine.start("run.sh") for _ in range(2)]
        for child in children:
            assert child.stderr is not None
            assert child.stderr.readline() == "h2learn: another set-up of this folder is running, waiting for it\n"
        os.close(descriptor)
        for child in children:
            out, _ = child.communicate(timeout=WAIT_S)
            assert (child.returncode, out) == (0, "h2learn run\n")
        assert len(machine.logged()) == 2


class TestFailures:
    def test_no_python(self, machine: Machine) -> None:
        (machine.bin / "python3.11").unlink()
        needed = "h2learn: error: Python 3.11 or newer is needed, found none: apt-get install python3 python3-venv"
        assert machine.run("run.sh") == (69, "", [needed])
        assert not machine.venv.exists()

    def test_old_python(self, machine: Machine) -> None:
        machine.state("old")
        code, _, err = machine.run("run.sh", VERSION="3.9.2")
        assert (code, len(err)) == (69, 1)
        assert "Python 3.11 or newer is needed, found Python 3.9.2" in err[0]

    def test_a_newer_python_under_the_general_name_is_taken(self, machine: Machine) -> None:
        machine.command("python3", PYTHON)
        machine.command("python3.11", "#!/usr/bin/env bash\nexit 127\n")  # a version manager's shim without a version
        code, _, err = machine.run("run.sh", VERSION="3.15.0")
        assert code == 0
        assert err[0] == "h2learn: creating .venv with Python 3.15.0"

    def test_no_venv_module(self, machine: Machine) -> None:
        machine.state("no-venv")
        line = "h2learn: error: python3.11 has no venv module: apt-get install python3-venv"
        assert machine.run("run.sh") == (69, "", [line])

    def test_no_venv_module_but_apt(self, machine: Machine) -> None:
        machine.state("no-venv")
        machine.command("apt-get", APT_GET)
        code, _, err = machine.run("run.sh")
        assert code == 0
        assert err[0] == "h2learn: installing python3-venv with apt-get (once)"

    def test_pip(self, machine: Machine) -> None:
        machine.state("pip-fails")
        code, out, err = machine.run("run.sh")
        assert (code, out) == (69, "")
        assert err[-1].startswith("h2learn: error: pip could not install the packages")
        (machine.folder / "pip-fails").unlink()
        assert machine.run("run.sh")[0] == 0


class TestVerilator:
    def test_installed_once_by_root(self, machine: Machine) -> None:
        (machine.bin / "verilator").unlink()
        (machine.bin / "make").unlink()
        machine.command("apt-get", APT_GET)
        code, _, err = machine.run("run.sh")
        assert code == 0
        assert "h2learn: installing verilator make with apt-get (once)" in err
        (install,) = [line for line in machine.logged() if line.startswith("apt-get install")]
        assert install.endswith(" verilator make")
        assert "--no-install-recommends" in install
        assert machine.run("run.sh") == (0, "h2learn run\n", [])

    def test_by_sudo_where_it_needs_no_password(self, machine: Machine) -> None:
        (machine.bin / "verilator").unlink()
        machine.command("id", "#!/usr/bin/env bash\necho 1000\n")
        machine.command(
            "sudo", '#!/usr/bin/env bash\necho "sudo $*" >>"$MACHINE/log"\nshift\n[[ $1 == true ]] || "$@"\n'
        )
        machine.command("apt-get", APT_GET)
        machine.run("run.sh")
        assert any(line.startswith("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get") for line in machine.logged())

    @pytest.mark.parametrize(
        ("reason", "prepare"),
        [
            ("no apt-get here", lambda machine: None),
            (
                "neither root nor sudo without a password",
                lambda machine: (
                    machine.command("apt-get", APT_GET),
                    machine.command("id", "#!/usr/bin/env bash\necho 1000\n"),
                ),
            ),
            (
                "apt-get failed: E: no such package",
                lambda machine: (machine.command("apt-get", APT_GET), machine.state("apt-fails")),
            ),
            (
                "installed, but not on the PATH",
                lambda machine: (machine.command("apt-get", APT_GET), machine.state("apt-puts-elsewhere")),
            ),
        ],
    )
    def test_one_line_and_one_attempt(
        self, machine: Machine, reason: str, prepare: Callable[[Machine], object]
    ) -> None:
        (machine.bin / "verilator").unlink()
        prepare(machine)
        line = (
            f"h2learn: missing: verilator ({reason}): MyHDL alone will simulate the RTL; "
            "remedy: apt-get install verilator"
        )
        code, out, err = machine.run("run.sh")
        assert (code, out, err[-1]) == (0, "h2learn run\n", line)
        machine.logged()
        assert machine.run("run.sh") == (0, "h2learn run\n", [line])
        assert machine.logged() == []


class TestToolsOfTheTests:
    def test_installed_for_the_tests_only(self, machine: Machine) -> None:
        (machine.bin / "iverilog").unlink()
        machine.command("apt-get", APT_GET)
        assert machine.run("run.sh")[0] == 0
        assert not any(line.startswith("apt-get") for line in machine.logged())
        assert machine.run("test.sh")[0] == 0
        (install,) = [line for line in machine.logged() if line.startswith("apt-get install")]
        assert install.endswith(" iverilog")

    def test_named_by_its_package_where_the_command_has_another_name(self, machine: Machine) -> None:
        (machine.bin / "chromedriver").unlink()
        machine.command("apt-get", APT_GET)
        assert machine.run("test.sh")[0] == 0
        (install,) = [line for line in machine.logged() if line.startswith("apt-get install")]
        assert install.endswith(" chromium-driver")

    def test_said_in_one_line_where_they_cannot_be_installed(self, machine: Machine) -> None:
        (machine.bin / "iverilog").unlink()
        (machine.bin / "yosys").unlink()
        line = (
            "h2learn: missing: iverilog yosys (no apt-get here): the checks that need them are skipped; "
            "remedy: apt-get install iverilog yosys"
        )
        assert line in machine.run("test.sh")[2]
        assert line not in machine.run("run.sh")[2]


class TestTests:
    def test_every_check_runs_and_pytest_gets_the_arguments(self, machine: Machine) -> None:
        code, out, err = machine.run("test.sh", "tests/cli", "-k", "a b", PYTHONDONTWRITEBYTECODE="1")
        assert code == 0
        assert out.splitlines() == [
            "ruff check --quiet .",
            "ruff format --quiet --check .",
            "mypy --no-error-summary",
            "-m pytest -n 3 --dist worksteal tests/cli -k a b",
        ]
        frameworks = f"pip {machine.root}/requirements-frameworks.txt"
        program = [f"pip {machine.root}/requirements.txt", f"pip {machine.root}"]
        logged = machine.logged()
        for beside in ("compile", "collect a b"):
            assert logged.count(beside) == 1
            logged.remove(beside)
        assert logged == [*program, f"pip {machine.root}/requirements-dev.txt", "pip torch==2.0", frameworks]
        assert err[-4:] == ["h2learn: ruff check", "h2learn: ruff format --check", "h2learn: mypy", "h2learn: pytest"]

    @pytest.mark.parametrize("tool", ["ruff", "mypy"])
    def test_a_failing_check_ends_it(self, machine: Machine, tool: str) -> None:
        code, out, _ = machine.run("test.sh", **{f"EXIT_{tool}": "3"})
        assert code == 3
        assert "pytest" not in out


def test_scripts_are_executable() -> None:
    for script in (SCRIPTS / "run.sh", SCRIPTS / "test.sh", SCRIPTS.parent / ".ci" / "run"):
        assert os.access(script, os.X_OK), script
