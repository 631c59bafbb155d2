#!/usr/bin/env bash
# Builds the site of docs/ into site/ (open site/index.html); sets up what is missing first. Arguments go to `mkdocs build`.
# Exit code: that of mkdocs, which fails on every warning; 69 where the set-up failed.
set -euo pipefail

script="$(readlink -f "${BASH_SOURCE[0]}")"
root="$(cd "$(dirname "$script")/.." && pwd -P)"
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"

set_up_environment dev
cd "$root"
export NO_MKDOCS_2_WARNING=1 # an advertisement; the versions are pinned
exec "$venv/bin/mkdocs" build --strict "$@"
