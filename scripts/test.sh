#!/usr/bin/env bash
# All checks on a fresh machine: sets up what is missing (once), then ruff, mypy and pytest on three processes.
# Arguments are passed on to pytest. Exit code: that of the first check that fails; 69 where the set-up failed.
set -euo pipefail

script="$(readlink -f "${BASH_SOURCE[0]}")"
root="$(cd "$(dirname "$script")/.." && pwd -P)"
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"

# Beside what needs one processor alone, so that the test processes find kernels and headers compiled.
compiling=()
beside() {
    (cd "$root" && exec "$venv/bin/python" "$@") >/dev/null 2>&1 9>&- &
    compiling+=("$!")
    trap 'kill "${compiling[@]}" 2>/dev/null || true' EXIT
}
program_ready() {
    [[ ${#compiling[@]} != 0 ]] || beside -m tests.compile_kernels
}

set_up_environment dev
program_ready
beside -m pytest --collect-only -qq "$@" # and find the modules compiled, their assertions rewritten
cd "$root"
say "ruff check";           "$venv/bin/ruff" check --quiet .
say "ruff format --check";  "$venv/bin/ruff" format --quiet --check .
say "mypy";                 "$venv/bin/mypy" --no-error-summary
say "pytest"
wait "${compiling[@]}" || true # the tests will tell
# A third process for two processors: many tests wait for processes of their own.
exec "$venv/bin/python" -m pytest -n 3 --dist worksteal "$@"
