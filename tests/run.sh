#!/usr/bin/env bash
# Installs the tools of the tests and runs them, several at a time.
#
#   tests/run.sh              all tests, in a quarter of an hour on two cores
#   tests/run.sh --all        the exhaustive variants as well, and coverage: up to an hour
#   tests/run.sh -m 'not slow'      other arguments go to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=.venv/bin
[[ -x $BIN/dip ]] || { echo "tests/run.sh: run ./install.sh first" >&2; exit 1; }

options=()
for word; do
    case $word in
        --all) options+=(--exhaustive --cov --cov-report=term-missing:skip-covered) ;;
        *) options+=("$word"); chosen=1 ;;
    esac
done

install_exiftool() { # which reads the metadata of results
    command -v exiftool >/dev/null && return 0
    command -v apt-get >/dev/null && ((EUID == 0)) || return 0
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq
        --no-install-recommends libimage-exiftool-perl)
    { "${install[@]}" || { apt-get update -qq && "${install[@]}"; }; } >/dev/null 2>&1 ||
        echo "    exiftool could not be installed; the tests that need it are skipped"
}
install_exiftool &
readonly EXIFTOOL=$!

# Installations that take minutes begin here and go on while the first tests run. The tests that
# need them call the same script, which waits.
begun=()
begin() {
    command -v setsid >/dev/null || return 0
    setsid "$@" </dev/null >/dev/null 2>&1 & # a process group of its own, to be ended as one
    begun+=($!)
}
end_begun() {
    for group in ${begun[@]+"${begun[@]}"}; do kill -- "-$group" 2>/dev/null || true; done
}
trap end_begun EXIT
if [[ -z ${chosen-} ]]; then
    echo "==> Installing two GIMPs and a browser in the background"
    begin tests/browser/find_chromium.sh --install
    begin tests/gimp/make_root.sh 3.0
    begin tests/gimp/make_root.sh 3.2
fi

unset PYTHONDONTWRITEBYTECODE # hundreds of processes would each compile the same files
readonly NOTE=.venv/.install/tests # a checksum of the requirements that are installed
wanted=$(cksum <pyproject.toml)
if [[ $(cat "$NOTE" 2>/dev/null) != "$wanted" ]]; then
    echo "==> Installing the Python packages of the tests"
    "$BIN/python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --constraint .venv/.install/constraints.txt --editable '.[test,bench,cluster,formats]'
    # Compile the tests and their packages once, not in all test processes at the same time; on the
    # other core mypy reads the packages, and the test of types finds what it keeps of them.
    "$BIN/mypy" >/dev/null 2>&1 &
    "$BIN/python" -m pytest --collect-only --quiet >/dev/null 2>&1 || true
    echo "$wanted" >"$NOTE"
fi

wait "$EXIFTOOL" || true

echo "==> Tests"
# Many tests wait for a process or a window: four of them keep two cores busy; six take longer.
"$BIN/python" -m pytest --numprocesses "${DIP_TEST_PROCESSES:-4}" --dist loadgroup \
    --no-loadscope-reorder ${options[@]+"${options[@]}"}
