#!/usr/bin/env bash
# Installs everything into .venv beside this file, then restores a demonstration picture.
# It can be interrupted and run again: finished steps are not repeated.
set -euo pipefail

readonly TORCH_VERSION=2.13.0
readonly CPU_INDEX=https://download.pytorch.org/whl/cpu

usage() {
    cat <<END
Usage: ./install.sh [--torch-index URL] [--gimp-dir FOLDER] [--uninstall] [--no-demo]
                    [--service] [--help]

Installs the photo restoration tool into .venv beside this file, and the plug-in into each GIMP 3
of your account. Nothing else is changed without --service.

  --torch-index URL  install PyTorch $TORCH_VERSION from this package index
                     (for a specific CUDA or ROCm version, or a mirror)
  --gimp-dir FOLDER  install the plug-in into this GIMP only: its folder as shown by
                     Edit > Preferences > Folders, such as ~/.config/GIMP/3.0
  --uninstall        remove the plug-in from every GIMP (with --gimp-dir: from this GIMP), and
                     do nothing else; to remove the rest, delete this folder
  --no-demo          do not restore the demonstration picture at the end
  --service          start the restoration service now and at every login
                     (a systemd user unit, or a launchd agent on macOS;
                     .venv/bin/dip serve --uninstall-service reverses it)
  --help             show this text

PYTHON=/path/to/python3 ./install.sh uses this Python ($MINIMUM_PYTHON or newer).
END
}

readonly MINIMUM_PYTHON=3.10
readonly ENVIRONMENT=.venv
readonly STATE=$ENVIRONMENT/.install # the finished steps
readonly LOG=install.log

say() { printf '==> %s\n' "$*"; }

fail() { # message, advice...
    printf '\ninstall.sh: %s\n' "$1" >&2
    shift
    printf '    %s\n' "$@" >&2
    exit 1
}

parse_arguments() {
    torch_index=
    demo=yes
    gimp_dir=
    service=no
    uninstall=no
    while (($#)); do
        case $1 in
            --torch-index)
                [[ -n ${2-} ]] || { echo "install.sh: --torch-index needs a URL" >&2; exit 2; }
                torch_index=$2
                shift
                ;;
            --torch-index=?*) torch_index=${1#*=} ;;
            --gimp-dir)
                [[ -n ${2-} ]] || { echo "install.sh: --gimp-dir needs a folder" >&2; exit 2; }
                gimp_dir=$2
                shift
                ;;
            --gimp-dir=?*) gimp_dir=${1#*=} ;;
            --uninstall) uninstall=yes ;;
            --no-demo) demo=no ;;
            --service) service=yes ;;
            -h | --help) usage; exit 0 ;;
            *)
                echo "install.sh: unknown option '$1'; ./install.sh --help lists them" >&2
                exit 2
                ;;
        esac
        shift
    done
}

# --- Python -----------------------------------------------------------------------------------

recent_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${MINIMUM_PYTHON/./, }))" 2>/dev/null
}

has_venv_module() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() { # prints the first Python that is new enough; fails without one
    local candidate candidates=(python3 python3.13 python3.12 python3.11 python3.10 python3.14 python)
    [[ -z ${PYTHON-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if command -v "$candidate" >/dev/null && recent_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

may_use_apt() { ((EUID == 0)) && [[ -z ${PYTHON-} ]] && command -v apt-get >/dev/null; }

apt_install() {
    say "Installing $* with apt-get, for Python's venv module"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y "$@" >>"$LOG" 2>&1 ||
        { apt-get update >>"$LOG" 2>&1 && apt-get install -y "$@" >>"$LOG" 2>&1; } ||
        fail "apt-get could not install $*; the end of $LOG has the reason." "Install the packages, then run ./install.sh again."
}

choose_python() {
    if ! python=$(find_python) && may_use_apt; then
        apt_install python3 python3-venv
    fi
    python=$(find_python) || fail "no Python $MINIMUM_PYTHON or newer was found${PYTHON:+ at PYTHON=$PYTHON}." \
        "On Debian and Ubuntu:  sudo apt install python3 python3-venv" \
        "On Fedora:             sudo dnf install python3" \
        "On macOS:              brew install python" \
        "Or choose a Python:    PYTHON=/path/to/python3 ./install.sh"
    version=$("$python" -c 'import platform; print(platform.python_version())')
    has_venv_module "$python" && return
    if may_use_apt; then
        apt_install python3-venv "python${version%.*}-venv"
    fi
    has_venv_module "$python" || fail "$python cannot create virtual environments: its module venv or ensurepip is missing." \
        "On Debian and Ubuntu:  sudo apt install python${version%.*}-venv"
}

# --- The environment --------------------------------------------------------------------------

make_environment() {
    local identity="$version $PWD"
    if [[ -e $STATE/unfinished ]]; then
        say "An earlier installation was interrupted: creating $ENVIRONMENT again"
    elif [[ -e $ENVIRONMENT && $(cat "$STATE/made_for" 2>/dev/null) != "$identity" ]]; then
        say "$ENVIRONMENT belongs to another Python or another folder: creating it again"
    elif [[ -e $ENVIRONMENT ]]; then
        return
    fi
    say "Creating $ENVIRONMENT with Python $version"
    "$python" -m venv --clear "$ENVIRONMENT" >>"$LOG" 2>&1 ||
        fail "the virtual environment could not be created; the end of $LOG has the reason." "Is the disk full, or this folder read-only?"
    mkdir -p "$STATE"
    echo "$identity" >"$STATE/made_for"
}

pip_install() { # name for messages, arguments of pip...
    local name=$1 status=0
    shift
    echo "--- pip install $*" >>"$LOG"
    # A pip that is killed leaves an incomplete package; a pip that fails removes it.
    touch "$STATE/unfinished"
    "$ENVIRONMENT/bin/python" -m pip install --disable-pip-version-check "$@" >>"$LOG" 2>&1 || status=$?
    ((status < 128)) && rm -f "$STATE/unfinished"
    ((status == 0)) && return
    printf '\n' >&2
    grep -iE '^ *(error|warning: retrying)' "$LOG" | tail -n 3 | sed 's/^/    /' >&2 || true
    printf 'install.sh: %s could not be installed. The output of pip is in %s.\n' "$name" "$LOG" >&2
    return 1
}

# --- PyTorch ----------------------------------------------------------------------------------

installed_torch() {
    "$ENVIRONMENT/bin/python" -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null
}

has_nvidia_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }

pip_is_configured() {
    # Not through a pipe: grep -q stops reading early, and pip then fails.
    grep -qE '(index-url|find-links|no-index)=' <<<"$("$ENVIRONMENT/bin/python" -m pip config list)"
}

has_torch() { # whether a package index has torch; gives up after some seconds
    timeout 8 "$ENVIRONMENT/bin/python" -c '
import sys, urllib.request
urllib.request.urlopen(sys.argv[1].rstrip("/") + "/torch/", timeout=5)
' "$1" 2>>"$LOG"
}

install_torch() {
    local found
    found=$(installed_torch) || found=
    if [[ ${found%%+*} == "$TORCH_VERSION" && (-z $torch_index || $torch_index == "$(cat "$STATE/torch_index" 2>/dev/null)") ]]; then
        say "PyTorch $found is already installed"
        return
    fi
    local from=() where="from the package index that pip uses"
    if [[ -n $torch_index ]]; then
        from=(--index-url "$torch_index")
        where="from $torch_index"
        [[ -z $found ]] || from+=(--force-reinstall)
    elif [[ $(uname -s) == Linux ]] && ! has_nvidia_gpu && ! pip_is_configured && has_torch "$CPU_INDEX"; then
        # The default build for Linux contains gigabytes of CUDA, for NVIDIA GPUs only.
        from=(--index-url "$CPU_INDEX")
        where="for the CPU (no NVIDIA GPU was found)"
    fi
    say "Installing PyTorch $TORCH_VERSION $where: it is large and can take minutes"
    if ! pip_install "PyTorch $TORCH_VERSION" ${from[@]+"${from[@]}"} "torch==$TORCH_VERSION"; then
        fail "installation stopped at PyTorch; the next steps need it." \
            "Check the network connection and the free disk space, then run ./install.sh again." \
            "'No matching distribution' means that there is no build for Python $version on this machine:" \
            "try PYTHON=python3.12 ./install.sh, or another index: ./install.sh --torch-index URL"
    fi
    "$ENVIRONMENT/bin/python" -c 'import torch' 2>>"$LOG" ||
        fail "PyTorch was installed but cannot be loaded; the end of $LOG has the reason." \
            "Try another build: ./install.sh --torch-index $CPU_INDEX"
    echo "$torch_index" >"$STATE/torch_index"
    say "PyTorch $(installed_torch) is installed"
}

# --- The tool itself --------------------------------------------------------------------------

install_package() {
    local wanted
    wanted="$(cksum <pyproject.toml) torch $(installed_torch)"
    if [[ $(cat "$STATE/package" 2>/dev/null) == "$wanted" && -x $ENVIRONMENT/bin/dip ]]; then
        say "dip is already installed"
        return
    fi
    say "Installing dip and its requirements"
    echo "torch==$(installed_torch)" >"$STATE/constraints.txt"
    pip_install "dip" --constraint "$STATE/constraints.txt" --editable . ||
        fail "dip is not installed. PyTorch is, and will not be downloaded again." \
            "Check the network connection and the free disk space, then run ./install.sh again."
    echo "$wanted" >"$STATE/package"
}

# --- GIMP -------------------------------------------------------------------------------------

install_plug_in() {
    say "Installing the plug-in into GIMP"
    "$ENVIRONMENT/bin/dip" gimp install ${gimp_dir:+--gimp-dir "$gimp_dir"} || fail \
        "the plug-in for GIMP is not installed; everything else is." \
        "Correct the error above, then run ./install.sh again."
}

uninstall_plug_in() {
    [[ -x $ENVIRONMENT/bin/dip ]] || fail "nothing is installed here." \
        "To remove the plug-in, delete the folder dip_restore in the folder plug-ins of GIMP."
    "$ENVIRONMENT/bin/dip" gimp uninstall ${gimp_dir:+--gimp-dir "$gimp_dir"}
}

# --- The demonstration ------------------------------------------------------------------------

run_demo() {
    say "Restoring a demonstration picture (about a minute)"
    "$ENVIRONMENT/bin/dip" demo -o demo/ ||
        fail "the installation is complete, but the demonstration failed." \
            "Run $ENVIRONMENT/bin/dip doctor: it checks this machine and gives advice."
}

install_service() {
    say "Starting the restoration service, now and at every login"
    "$ENVIRONMENT/bin/dip" serve --install-service ||
        fail "the installation is complete, but the service could not be installed; see above." \
            "Start the service when you need it: $ENVIRONMENT/bin/dip serve"
}

main() {
    parse_arguments "$@"
    [[ -z $gimp_dir || $gimp_dir == /* ]] || gimp_dir=$PWD/$gimp_dir
    cd "$(dirname "${BASH_SOURCE[0]}")"
    if [[ $uninstall == yes ]]; then
        uninstall_plug_in
        return
    fi
    trap 'printf "\ninstall.sh: stopped. Run ./install.sh again to continue.\n" >&2; exit 130' INT TERM
    { : >"$LOG"; } 2>/dev/null || fail "this folder cannot be written to: $PWD" "Copy it to a folder that you can write to, and run ./install.sh there."
    choose_python
    make_environment
    install_torch
    install_package
    install_plug_in
    [[ $demo == no ]] || run_demo
    [[ $service == no ]] || install_service
    [[ $service == yes ]] || say "To start the restoration service at every login: ./install.sh --service"
    say "Ready: $ENVIRONMENT/bin/dip restore photo.jpg --mask mask.png -o restored.png"
}

main "$@"
