# shellcheck shell=bash
# Sourced by run.sh and test.sh: the virtual environment in .venv, pinned packages, Verilator and a C++ compiler; for the
# tests Icarus Verilog, Yosys and a headless Chromium as well.
#
# Everything is done once. A stamp file, written last, holds a hash of the pins, pyproject.toml, the Python version and
# the folder; while it fits, a start does no more than compute that hash. An interrupted set-up leaves a mark behind and
# the next start begins with an empty .venv; a .venv that somebody else made is used, but never emptied.
# All messages go to stderr: stdout belongs to the program that follows.

# Python keeps what it has compiled: each of many processes would compile all packages anew, at two seconds each.
unset PYTHONDONTWRITEBYTECODE

readonly venv="$root/.venv"
readonly own_mark="$venv/.h2learn-own"
readonly unfinished_mark="$venv/.h2learn-unfinished"
readonly no_tools_mark="$venv/.h2learn-no-tools" # its text is the reason
readonly frameworks="$root/requirements-frameworks.txt"
readonly exit_set_up_failed=69                   # EX_UNAVAILABLE of sysexits.h; `h2learn run` itself never gives it
readonly model_tools="verilator g++ make" # for Verilated models
readonly check_tools="iverilog yosys chromium chromium-driver" # for the tests besides

say() { echo "h2learn: $*" >&2; }

give_up() {
    say "error: $*"
    exit "$exit_set_up_failed"
}

# Called as soon as the program itself can be imported, while the packages of the tests are still being installed.
program_ready() { :; }

# set_up_environment run|dev: makes .venv ready for the program (run) or for the tests as well (dev).
set_up_environment() {
    local kind="$1"
    if ! packages_ready "$kind" || ! tools_settled "$kind"; then
        # The lock is on the folder itself, so that nothing needs to be cleaned up; a second start waits its turn.
        exec 9<"$root"
        flock --nonblock 9 || {
            say "another set-up of this folder is running, waiting for it"
            flock 9
        }
        packages_ready "$kind" || install_packages "$kind"
        tools_settled "$kind" || install_tools "$kind"
        exec 9<&-
    fi
    # shellcheck disable=SC2086  # the names are words
    tell_missing "MyHDL alone will simulate the RTL" $model_tools
    # shellcheck disable=SC2086
    [[ "$kind" == run ]] || tell_missing "the checks that need them are skipped" $check_tools
}

# What the packages in .venv depend on, as one hash.
fingerprint() {
    local kind="$1"
    {
        echo "$kind $root"
        cat "$(requirements_file "$kind")" "$root/pyproject.toml" "$venv/pyvenv.cfg"
        [[ "$kind" == run ]] || cat "$frameworks"
    } | sha256sum
}

requirements_file() {
    case "$1" in
        run) echo "$root/requirements.txt" ;;
        dev) echo "$root/requirements-dev.txt" ;;
    esac
}

# The developer's packages include the program's: a dev environment serves both.
packages_ready() {
    local kind="$1" candidate stamp
    [[ -x "$venv/bin/python" && ! -e "$unfinished_mark" ]] || return 1
    for candidate in dev "$kind"; do
        stamp="$venv/.h2learn-ready-$candidate"
        if [[ -r "$stamp" && "$(<"$stamp")" == "$(fingerprint "$candidate")" ]]; then
            return 0
        fi
    done
    return 1
}

install_packages() {
    local kind="$1" started_s="$SECONDS"
    if [[ ! -x "$venv/bin/python" || -e "$unfinished_mark" ]]; then
        make_venv
    fi
    say "installing the pinned packages into .venv (once, one to three minutes)"
    if [[ -e "$own_mark" ]]; then
        touch "$unfinished_mark"
    fi
    rm -f "$venv"/.h2learn-ready-*
    # the pins are complete: nothing is left to resolve
    pip_install --no-deps --requirement "$(requirements_file run)"
    pip_install --no-deps --no-build-isolation --editable "$root"
    if [[ "$kind" == dev ]]; then
        program_ready
        pip_install --no-deps --requirement "$(requirements_file dev)"
        install_frameworks
    fi
    rm -f "$unfinished_mark"
    fingerprint "$kind" >"$venv/.h2learn-part"
    mv "$venv/.h2learn-part" "$venv/.h2learn-ready-$kind"
    say "packages ready after $((SECONDS - started_s)) s"
}

# PyTorch with what its build needs, then everything else on that list without dependencies.
install_frameworks() {
    local line
    while read -r line; do
        [[ "$line" != torch==* ]] || pip_install "$line"
    done <"$frameworks"
    pip_install --no-deps --requirement "$frameworks"
}

make_venv() {
    local python
    python="$(find_python)" || exit
    say "creating .venv with $("$python" --version)"
    # In this order an interruption leaves either the mark or no interpreter behind: the next start begins anew.
    rm -rf "$venv/bin"
    rm -rf "$venv"
    mkdir "$venv"
    touch "$own_mark" "$unfinished_mark"
    "$python" -m venv "$venv" || give_up "$python -m venv failed"
}

# Without --no-compile pip spends half of its time on modules that nothing here imports; Python compiles the others itself.
pip_install() {
    "$venv/bin/python" -m pip install --quiet --quiet --no-input --disable-pip-version-check --no-compile "$@" ||
        give_up "pip could not install the packages (its own message stands above); the next start tries again"
}

# Prints the first Python that is new enough and can make virtual environments.
find_python() {
    local candidate too_old="" without_venv=""
    for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
        "$candidate" -c "" 2>/dev/null || continue
        if ! "$candidate" -c "import sys; sys.exit(sys.version_info < (3, 11))"; then
            too_old="$("$candidate" --version)"
        elif ! can_make_venv "$candidate"; then
            without_venv="${without_venv:-$candidate}"
        else
            echo "$candidate"
            return
        fi
    done
    if [[ -n "$without_venv" ]]; then
        if apt_install python3-venv >/dev/null && can_make_venv "$without_venv"; then
            echo "$without_venv"
            return
        fi
        give_up "$without_venv has no venv module: apt-get install python3-venv"
    fi
    give_up "Python 3.11 or newer is needed, found ${too_old:-none}: apt-get install python3 python3-venv"
}

# Debian ships venv without ensurepip unless python3-venv is installed.
can_make_venv() { "$1" -c "import venv, ensurepip" 2>/dev/null; }

tools_of() {
    case "$1" in
        run) echo "$model_tools" ;;
        dev) echo "$model_tools $check_tools" ;;
    esac
}

# Tools are named by their package; the command has the same name but for one.
command_of() {
    case "$1" in
        chromium-driver) echo chromedriver ;;
        *) echo "$1" ;;
    esac
}

# Which of the given tools this machine lacks, each with a space in front.
missing_tools() {
    local tool
    for tool in "$@"; do
        command -v "$(command_of "$tool")" >/dev/null || echo -n " $tool"
    done
}

# tell_missing CONSEQUENCE TOOL...: one line if a tool is missing.
tell_missing() {
    local consequence="$1" missing
    missing="$(missing_tools "${@:2}")"
    if [[ -n "$missing" ]]; then
        say "missing:$missing ($(<"$no_tools_mark")): $consequence; remedy: apt-get install$missing"
    fi
}

# Nothing to install, or it was tried in vain: an attempt can take long, one is enough.
# shellcheck disable=SC2046  # the names are words
tools_settled() { [[ -e "$no_tools_mark" || -z "$(missing_tools $(tools_of "$1"))" ]]; }

# shellcheck disable=SC2046,SC2086  # the names are words
install_tools() {
    local missing reason
    missing="$(missing_tools $(tools_of "$1"))"
    if reason="$(apt_install $missing)"; then
        [[ -n "$(missing_tools $(tools_of "$1"))" ]] || return 0
        reason="installed, but not on the PATH"
    fi
    echo "$reason" >"$no_tools_mark"
}

# apt_install PACKAGE...: false, with one line on stdout that says why, where packages cannot be installed.
apt_install() {
    local as_root=() log
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here"
        return 1
    fi
    if [[ "$(id -u)" != 0 ]]; then
        if ! sudo -n true 2>/dev/null; then
            echo "neither root nor sudo without a password"
            return 1
        fi
        as_root=(sudo -n)
    fi
    say "installing $* with apt-get (once)"
    "${as_root[@]}" apt-get update -qq >/dev/null 2>&1 || true # an old package list may do; the installation decides
    log="$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=60 "$@" </dev/null 2>&1)" && return
    echo "apt-get failed: ${log##*$'\n'}"
    return 1
}
