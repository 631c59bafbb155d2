#!/usr/bin/env bash
# The main job on a fresh machine: sets up what is missing (once), then `h2learn run` with all arguments passed on.
# Exit code: that of `h2learn run`; 69 where the set-up failed.
set -euo pipefail

script="$(readlink -f "${BASH_SOURCE[0]}")"
root="$(cd "$(dirname "$script")/.." && pwd -P)"
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"

set_up_environment run
exec "$venv/bin/h2learn" run "$@"
