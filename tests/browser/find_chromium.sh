#!/usr/bin/env bash
# Prints the path of a Chromium for the tests in a browser.
#
#   tests/browser/find_chromium.sh [--install]      with --install, apt-get fetches a missing one
#
# DIP_TEST_CHROMIUM names another. Exit status 3: there is none, the reason is on standard error.
set -euo pipefail

readonly CACHE=${DIP_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dip-restore-tests}

cannot() { printf 'no Chromium: %s\n' "$*" >&2; exit 3; }

if [[ -n ${DIP_TEST_CHROMIUM-} ]]; then
    echo "$DIP_TEST_CHROMIUM"
    exit
fi
mkdir -p "$CACHE"
exec 9>"$CACHE/chromium.lock"
if command -v flock >/dev/null; then flock 9; fi # wait for an installation that goes on
command -v chromium && exit
[[ ${1-} == --install ]] || cannot "apt-get install chromium (tests/run.sh does so as root)"
((EUID == 0)) || cannot "only root can install it"
command -v apt-get >/dev/null || cannot "there is no apt-get to install it with"

export DEBIAN_FRONTEND=noninteractive
install=(apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends chromium fonts-noto-core)
exec 8>"$CACHE/apt.lock"
flock 8 # make_root.sh uses apt-get as well
{ "${install[@]}" || { apt-get update -qq && "${install[@]}"; }; } >"$CACHE/chromium.log" 2>&1 ||
    cannot "it could not be installed; see $CACHE/chromium.log"
command -v chromium
