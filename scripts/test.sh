#!/usr/bin/env bash
# All checks on a fresh machine: sets up what is missing (once), then ruff, mypy and pytest on two processes.
# Arguments are passed on to pytest. Exit code: that of the first check that fails; 69 where the set-up failed.
set -euo pipefail

script="$(readlink -f "${BASH_SOURCE[0]}")"
root="$(cd "$(dirname "$script")/.." && pwd -P)"
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"

set_up_environment dev
cd "$root"
say "ruff check";           "$venv/bin/ruff" check --quiet .
say "ruff format --check";  "$venv/bin/ruff" format --quiet --check .
say "mypy";                 "$venv/bin/mypy" --no-error-summary
say "pytest"
exec "$venv/bin/python" -m pytest -n 2 "$@"
