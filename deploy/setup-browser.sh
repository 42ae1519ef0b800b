#!/bin/sh
# Have a Chromium for the tests that drive a browser: this machine's if it has one, else Debian's
# package (as root or with sudo), else the one that Playwright fetches (Ubuntu, macOS, elsewhere).
# It can be run again at any time; where a browser is found nothing happens.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
log=.venv/setup-browser.log

say() { printf 'setup-browser: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
is_there() { .venv/bin/python -m tests.support.chromium >/dev/null 2>>"$log"; }
can_be_root() { [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null; }; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
is_debian() {
    case $(. /etc/os-release 2>/dev/null && echo "$ID") in debian | raspbian | kali) ;; *) false ;; esac
}
# Ubuntu's package of this name installs a snap, which does not run in containers.
from_debian() {
    is_debian && has apt-get && can_be_root || return 1
    say "installing chromium"
    as_root apt-get update -qq >>"$log" 2>&1 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        chromium >>"$log" 2>&1
}
from_playwright() {
    say "fetching the Chromium of Playwright"
    # With what it needs of the system, where that can be had.
    { can_be_root && playwright_install --with-deps; } || playwright_install
}
playwright_install() { .venv/bin/python -m playwright install "$@" chromium >>"$log" 2>&1; }

[ -x .venv/bin/python ] || die "there is no .venv yet: run make setup"
: >"$log"
if [ -n "${TEST_CHROMIUM:-}" ]; then
    is_there || die "$(tail -n 1 "$log")"
    exit 0
fi
is_there && exit 0
{ from_debian && is_there; } || { from_playwright && is_there; } ||
    die "no Chromium, which tests in a browser need: install it (Debian: sudo apt install chromium;" \
        "macOS: brew install --cask chromium), or say where it is with TEST_CHROMIUM=… (what went" \
        "wrong is in $here/$log)"
