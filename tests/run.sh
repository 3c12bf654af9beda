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
