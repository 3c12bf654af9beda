#!/usr/bin/env bash
# Makes a folder with a real GIMP in it, for tests: a small Debian, entered with chroot.
#
#   tests/gimp/make_root.sh 3.0|3.2      prints the folder; the first time takes minutes and 1.1 GB
#
# The folder lies in $DIP_TEST_CACHE, by default ~/.cache/dip-restore-tests. Packages come from the
# mirror that this machine's own apt uses, or from $DIP_TEST_MIRROR. Exit status 3: not to be had
# here, the reason is on standard error.
set -euo pipefail

readonly PACKAGES=(gimp python3-gi gir1.2-gtk-3.0 xvfb openbox xdotool imagemagick x11-utils
    xfonts-base fonts-dejavu-core adwaita-icon-theme)
readonly CACHE=${DIP_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dip-restore-tests}

cannot() { printf 'make_root.sh: %s\n' "$*" >&2; exit 3; }

case ${1-} in
    3.0) suite=trixie ;;
    3.2) suite=forky ;;
    *) echo "usage: make_root.sh 3.0|3.2" >&2; exit 2 ;;
esac
readonly ROOT=$CACHE/gimp-$1
readonly WANTED="$suite ${PACKAGES[*]}"

if [[ $(cat "$ROOT/.made_of" 2>/dev/null) == "$WANTED" ]]; then
    echo "$ROOT"
    exit
fi

[[ $(uname -s) == Linux ]] || cannot "a root can be made on Linux only"
((EUID == 0)) || cannot "chroot needs root privileges"
command -v apt-get >/dev/null || cannot "this is no Debian: there is no apt-get to take packages with"
unshare --mount true 2>/dev/null || cannot "mounts of its own are not allowed in this sandbox"

mkdir -p "$CACHE"
exec 9>"$CACHE/gimp-$1.lock"
flock 9 # two test runs make it once
if [[ $(cat "$ROOT/.made_of" 2>/dev/null) == "$WANTED" ]]; then
    echo "$ROOT"
    exit
fi
readonly LOG=$CACHE/gimp-$1.log
: >"$LOG"

{
    exec 8>"$CACHE/apt.lock"
    flock 8
    if ! command -v debootstrap >/dev/null; then
        install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y debootstrap)
        "${install[@]}" >>"$LOG" 2>&1 || { apt-get update && "${install[@]}"; } >>"$LOG" 2>&1 ||
            cannot "debootstrap could not be installed; see $LOG"
    fi
    exec 8>&-
}

# shellcheck disable=SC1091 # it is where systemd says
release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
# shellcheck disable=SC2016 # apt-get expands it
mirror=${DIP_TEST_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' "Codename: $release" 'Component: main' | sort -u | head -n 1)}
[[ -n $mirror ]] || cannot "no Debian mirror in this machine's apt sources; name one in DIP_TEST_MIRROR"

script=/usr/share/debootstrap/scripts/$suite
[[ -e $script ]] || script=/usr/share/debootstrap/scripts/sid # one that is newer than debootstrap

echo "make_root.sh: making $ROOT (minutes; what is said goes to $LOG)" >&2
readonly PART=$ROOT.part
rm -rf --one-file-system "$PART"
debootstrap --variant=minbase --include=ca-certificates "$suite" "$PART" "$mirror" "$script" >>"$LOG" 2>&1 ||
    cannot "debootstrap failed; see the end of $LOG"
cp -r /etc/apt/apt.conf.d "$PART/etc/apt/" 2>/dev/null || true
cp /etc/apt/apt.conf "$PART/etc/apt/" 2>/dev/null || true
[[ ! -e /etc/ssl/certs/ca-certificates.crt ]] || cp /etc/ssl/certs/ca-certificates.crt "$PART/etc/ssl/certs/"
[[ ! -e /etc/resolv.conf ]] || cp -L /etc/resolv.conf "$PART/etc/resolv.conf"
# Less to write, and no waiting for the disk: a root that was cut short is made anew.
printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
    'path-exclude=/usr/share/locale/*' >"$PART/etc/dpkg/dpkg.cfg.d/tests"
# No translated descriptions, and no questions of packages, which take ten seconds to extract.
printf '%s\n' 'Acquire::Languages "none";' '#clear DPkg::Pre-Install-Pkgs;' >"$PART/etc/apt/apt.conf.d/99tests"

# shellcheck disable=SC2016 # the inner shell expands them
unshare --mount --propagation private bash -euc '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"
    chmod +x "$1/usr/sbin/policy-rc.d"
    chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        DEBIAN_FRONTEND=noninteractive sh -euc "apt-get update; apt-get install -y --no-install-recommends $2; apt-get clean"
' bash "$PART" "${PACKAGES[*]}" </dev/null >>"$LOG" 2>&1 ||
    cannot "the packages could not be installed; see the end of $LOG"

echo "$WANTED" >"$PART/.made_of"
rm -rf --one-file-system "$ROOT"
mv "$PART" "$ROOT"
echo "$ROOT"
