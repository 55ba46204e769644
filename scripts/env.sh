# Sourced by the other scripts: finds Python, and makes or mends the environment in .venv.
#
#   ensure_env requirements.lock    makes $VENV hold exactly that lock, the gateway and the bundled plugins
#
# PYTHON names the interpreter to use (3.11 or newer), GATEWAY_VENV another place than .venv.
# When nothing has changed since the last time, this costs one checksum.

ROOT=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${GATEWAY_VENV:-$ROOT/.venv}
case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac

say() { printf 'tollgate: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# What the environment was made from. The path is part of it, because a moved environment is broken.
fingerprint() {
    { printf '%s\n' "$VENV" && cat "$ROOT/$1" "$ROOT/scripts/env.sh" "$ROOT/pyproject.toml" "$ROOT"/plugins/*/pyproject.toml; } 2>/dev/null | cksum
}

is_ready() {  # $1: lock file; $2: its fingerprint
    [ ! -e "$VENV/.installing" ] && [ -r "$VENV/.made-from.$1" ] && [ "$(<"$VENV/.made-from.$1")" = "$2" ]
}

find_python() {
    local candidate found
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13 python3.14; do
        found=$("$candidate" -c 'import sys; print(sys.executable if sys.version_info >= (3, 11) else "")' 2>/dev/null) || continue
        if [ -n "$found" ]; then printf '%s\n' "$found"; return; fi
    done
    die "needs Python 3.11 or newer, and found none. Install it (Debian, Ubuntu: apt install python3 python3-pip), or set PYTHON=/path/to/python3.11."
}

# Prints nothing; sets the array PIP to a command that installs into $VENV.
find_pip() {
    local python=$1
    if "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        PIP=("$VENV/bin/python" -m pip)
    elif "$python" -m pip --python "$VENV/bin/python" --version >/dev/null 2>&1; then
        PIP=("$python" -m pip --python "$VENV/bin/python")
    elif "$VENV/bin/python" -m ensurepip >/dev/null 2>&1; then
        PIP=("$VENV/bin/python" -m pip)
    else
        die "needs pip 22.3 or newer for $python. Install it (Debian, Ubuntu: apt install python3-pip)."
    fi
}

remove_env() {
    if [ -e "$VENV/pyvenv.cfg" ] || [ -e "$VENV/.installing" ]; then rm -rf "$VENV"; fi
}

fail() {  # $1: what; $2: pip's log
    grep -E '^ERROR|Error:' "$2" | head -n 8 | cut -c1-300 >&2 || tail -n 10 "$2" >&2
    if grep -qiE 'No matching distribution|ProxyError|NewConnectionError|ConnectTimeout|Max retries|name resolution' "$2"; then
        say "no package index could be reached that has them. Behind a proxy, set HTTPS_PROXY=http://proxy.example.org:3128;"
        say "with an index of your own, PIP_INDEX_URL=https://pypi.example.org/simple; without any network, see"
        say "docs/quickstart.md, \"Without network\"."
    fi
    die "could not install $1; all of pip's output is in $2"
}

progress() {  # $1: lock file; $2: pip's log. Says how far pip is, until it is killed or the script ends.
    local all found
    all=$(grep -c '^[A-Za-z0-9]' "$ROOT/$1")
    while kill -0 $$ 2>/dev/null; do
        found=$(grep -cE '^(Collecting|Processing|Requirement already)' "$2" || true)
        if grep -q '^Installing collected' "$2"; then found="$found fetched, putting them in place"; fi
        printf '\r\033[Ktollgate: packages: %s (%s in the list)' "$found" "$all" >&2
        sleep 0.3
    done
}

install() {  # $1: lock file; $2: pip's log
    local status=0 watcher=
    : >"$2"
    if [ -t 2 ]; then
        progress "$1" "$2" &
        watcher=$!
    fi
    "${PIP[@]}" install --no-deps --require-hashes -r "$ROOT/$1" >"$2" 2>&1 || status=$?
    if [ -n "$watcher" ]; then
        kill "$watcher" 2>/dev/null && wait "$watcher" 2>/dev/null || true
        printf '\r\033[K' >&2
    fi
    return "$status"
}

make_env() {  # $1: lock file; $2: a Python interpreter
    local python=$2 plugin log name
    local editable=(-e "$ROOT")
    for plugin in "$ROOT"/plugins/*/pyproject.toml; do
        if [ -e "$plugin" ]; then editable+=(-e "${plugin%/pyproject.toml}"); fi
    done
    if [ -e "$VENV/.installing" ]; then
        # pip takes a package that was half unpacked for an installed one, so begin afresh.
        say "the last set-up was interrupted; starting again"
        remove_env
    elif [ -e "$VENV/.made-at" ] && [ "$(<"$VENV/.made-at")" != "$VENV" ]; then
        say "the environment was moved; making it anew"
        remove_env
    elif [ -e "$VENV" ] && ! "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        remove_env
    fi
    mkdir -p "$VENV"
    : >"$VENV/.installing"
    printf '%s\n' "$VENV" >"$VENV/.made-at"
    rm -f "$VENV"/.made-from.*
    if [ ! -x "$VENV/bin/python" ]; then
        say "making an environment with $python"
        "$python" -m venv --without-pip "$VENV" || die "$python cannot make a virtual environment"
    fi
    find_pip "$python"
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0
    log=$VENV/install.log
    say "installing the packages of $1 (pinned by hash)"
    install "$1" "$log" || fail "$1" "$log"
    say "installing the gateway and its plugins"
    "${PIP[@]}" install --no-deps --no-index --no-build-isolation "${editable[@]}" >>"$log" 2>&1 || fail "the gateway" "$log"
    # The lock for development holds the other one, with the same versions.
    for name in "$1" requirements.lock; do fingerprint "$name" >"$VENV/.made-from.$name"; done
    rm "$VENV/.installing"
}

ensure_env() {  # $1: lock file
    local want python
    want=$(fingerprint "$1")
    if is_ready "$1" "$want"; then return; fi
    # One at a time. The lock is on the folder that holds the environment and belongs to descriptor 9, so it ends
    # with this process however that ends; Python takes it because flock(1) is not on every system.
    python=$(find_python)
    mkdir -p "$(dirname "$VENV")"
    exec 9<"$(dirname "$VENV")"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' || die "cannot lock $(dirname "$VENV")"
    if ! is_ready "$1" "$want"; then make_env "$1" "$python"; fi
    exec 9<&-
}
