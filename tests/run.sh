#!/usr/bin/env bash
# Checks style, types and scripts, then runs the tests. Arguments go to pytest:
#   tests/run.sh -m 'not slow'
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=.venv/bin
[[ -x $BIN/dip ]] || { echo "tests/run.sh: run ./install.sh first" >&2; exit 1; }

readonly NOTE=.venv/.install/tests # what the test tools were installed for
wanted=$(cksum <pyproject.toml)
if [[ $(cat "$NOTE" 2>/dev/null) != "$wanted" ]]; then
    echo "==> Installing what the tests need"
    "$BIN/python" -m pip install --quiet --disable-pip-version-check \
        --constraint .venv/.install/constraints.txt --editable '.[test,bench,cluster]'
    echo "$wanted" >"$NOTE"
fi

if [[ -z ${DIP_TEST_CHROMIUM-} ]] && ! command -v chromium >/dev/null; then
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        echo "==> Installing Chromium, for the tests in a browser"
        readonly CHROMIUM="apt-get install -y -qq --no-install-recommends chromium fonts-noto-core"
        export DEBIAN_FRONTEND=noninteractive
        { $CHROMIUM || { apt-get update -qq && $CHROMIUM; }; } >/dev/null ||
            echo "tests/run.sh: no Chromium to be had; the tests in a browser are skipped" >&2
    else
        echo "tests/run.sh: no Chromium here (apt-get install chromium)" >&2
    fi
fi

echo "==> Style"
"$BIN/ruff" check .
"$BIN/ruff" format --check .

echo "==> Types"
"$BIN/mypy"

echo "==> Scripts"
scripts=(install.sh tests/run.sh tests/gimp/*.sh .ci/run)
for script in "${scripts[@]}"; do bash -n "$script"; done
"$BIN/shellcheck" "${scripts[@]}"

echo "==> Tests"
exec "$BIN/python" -m pytest --cov --cov-report=term-missing:skip-covered "$@"
