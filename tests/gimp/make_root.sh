#!/usr/bin/env bash
# Makes a folder with a real GIMP in it, for tests: files of Debian's packages, entered with chroot.
#
#   tests/gimp/make_root.sh 3.0|3.2      prints the folder; the first time takes a minute and 0.5 GB, 0.7 for a while
#
# The folder lies in $DIP_TEST_CACHE, by default ~/.cache/dip-restore-tests. Packages come from the
# mirror that this machine's own apt uses, or from $DIP_TEST_MIRROR. Exit status 3: not to be had
# here, the reason is on standard error.
#
# The packages are extracted, but not configured: that takes five times as long, and most of it is
# for the administration of a system that nobody administers. `configure` has the steps that matter.
set -euo pipefail

readonly PACKAGES=(gimp python3-gi gir1.2-gtk-3.0 xvfb openbox xdotool imagemagick x11-utils
    fonts-dejavu-core adwaita-icon-theme base-files base-passwd bash coreutils dash libc-bin)
# Packages that others depend on, and no test needs: drivers of graphics cards (with a compiler of
# 140 MB), the services of a desktop session, encodings for old PDFs, drawings of graphs.
readonly ABSENT=(libglx-mesa0 libgbm1 dconf-gsettings-backend xdg-utils graphviz poppler-data
    debconf init-system-helpers)
readonly CACHE=${DIP_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dip-restore-tests}

exec 7>&2 # past the log
cannot() { printf 'make_root.sh: %s\n' "$*" >&7; exit 3; }

case ${1-} in
    3.0) suite=trixie ;;
    3.2) suite=forky ;;
    *) echo "usage: make_root.sh 3.0|3.2" >&2; exit 2 ;;
esac
readonly PLACE=$CACHE/gimp-$1-$suite
readonly ROOT=$PLACE PART=$PLACE.part APT=$PLACE.apt LOG=$PLACE.log
readonly WANTED="$suite ${PACKAGES[*]} without ${ABSENT[*]}"

if [[ $(cat "$ROOT/.made_of" 2>/dev/null) == "$WANTED" ]]; then
    echo "$ROOT"
    exit
fi

[[ $(uname -s) == Linux ]] || cannot "a root can be made on Linux only"
((EUID == 0)) || cannot "chroot needs root privileges"
command -v apt-get >/dev/null || cannot "this is no Debian: there is no apt-get to take packages with"
unshare --mount true 2>/dev/null || cannot "mounts of its own are not allowed in this sandbox"

mkdir -p "$CACHE"
exec 9>"$PLACE.lock"
flock 9 # two test runs make it once
if [[ $(cat "$ROOT/.made_of" 2>/dev/null) == "$WANTED" ]]; then
    echo "$ROOT"
    exit
fi
: >"$LOG"

# shellcheck disable=SC1091 # it is where systemd says
release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
# shellcheck disable=SC2016 # apt-get expands it
mirror=${DIP_TEST_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' "Codename: $release" 'Component: main' | sort -u | head -n 1)}
[[ -n $mirror ]] || cannot "no Debian mirror in this machine's apt sources; name one in DIP_TEST_MIRROR"

download() { # into $APT/archives, by an apt that knows nothing of this machine's own packages
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg name
    mkdir -p "$APT/state/lists/partial" "$APT/cache" "$APT/archives/partial"
    for name in "${ABSENT[@]}"; do # said to be there
        printf 'Package: %s\nStatus: install ok installed\nVersion: 999\n' "$name"
        printf 'Architecture: %s\nMulti-Arch: same\nMaintainer: none\nDescription: none\n\n' "$(dpkg --print-architecture)"
    done >"$APT/status"
    [[ -e $keys ]] || keys=
    echo "deb ${keys:+[signed-by=$keys] }$mirror $suite main" >"$APT/sources.list"
    local apt=(apt-get -q -y -o "Dir::State=$APT/state" -o "Dir::State::status=$APT/status"
        -o "Dir::Cache=$APT/cache" -o "Dir::Cache::archives=$APT/archives"
        -o "Dir::Etc::SourceList=$APT/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o Acquire::Languages=none -o APT::Sandbox::User=root)
    "${apt[@]}" update
    "${apt[@]}" install --download-only --no-install-recommends "${PACKAGES[@]}"
}

extract() {
    # shellcheck disable=SC2016 # the inner shell expands them
    local line='for package; do
        dpkg-deb --fsys-tarfile "$package" | tar --extract --directory "$PART" --keep-directory-symlink \
            --exclude "./usr/share/doc/*" --exclude "./usr/share/man/*" --exclude "./usr/share/locale/*" \
            --exclude "./usr/share/help/*" --exclude "./usr/share/info/*"
    done'
    rm -rf --one-file-system "$PART"
    mkdir -p "$PART"
    export PART
    bash -euo pipefail -c "$line" bash "$APT"/archives/base-files_*.deb # it has the links of /bin and /lib
    find "$APT/archives" -name '*.deb' -print0 | xargs -0 -n 16 -P 2 bash -euo pipefail -c "$line" bash
}

configure() {
    local libraries
    libraries=/usr/lib/$(basename "$(dirname "$PART"/usr/lib/*/libc.so.6)")
    cp "$PART/usr/share/base-passwd/passwd.master" "$PART/etc/passwd"
    cp "$PART/usr/share/base-passwd/group.master" "$PART/etc/group"
    tr -d - </proc/sys/kernel/random/uuid >"$PART/etc/machine-id"
    rm -f "$PART"/usr/lib/*/gegl-*/sdl*-display.so # it needs the driver of a graphics card
    # Choices among alternatives: one implementation of each is there.
    printf '%s\n' "$libraries/blas" "$libraries/lapack" >"$PART/etc/ld.so.conf.d/alternatives.conf"
    [[ -e $PART/usr/bin/import ]] || ln -s "$(basename "$PART"/usr/bin/import-im*)" "$PART/usr/bin/import"
    # The caches that the packages' triggers write.
    chroot "$PART" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 HOME=/root PKGSYSTEM_ENABLE_FSYNC=0 \
        sh -euxc "
            ldconfig
            $libraries/glib-2.0/glib-compile-schemas /usr/share/glib-2.0/schemas
            $libraries/glib-2.0/gio-querymodules $libraries/gio/modules
            $libraries/gdk-pixbuf-2.0/gdk-pixbuf-query-loaders --update-cache
            $libraries/libgtk-3-0t64/gtk-query-immodules-3.0 --update-cache
            update-mime-database /usr/share/mime
            fc-cache --system-only"
}

check() { # that all libraries are there
    local found
    # shellcheck disable=SC2016 # the inner shell expands them
    found=$(chroot "$PART" sh -c 'cd /usr/bin; ldd gimp-[0-9]* Xvfb openbox xdotool xprop xdpyinfo "$(readlink -f import)" \
        /usr/lib/*/gegl-*/*.so /usr/lib/*/gimp/*/plug-ins/*/file-*' 2>&1 || true)
    if grep 'not found' <<<"$found"; then return 1; fi
}

step=
# shellcheck disable=SC2154 # the trap sets it
trap 'status=$?; ((status == 0 || status == 3)) || cannot "$step failed; see the end of $LOG"' EXIT
echo "make_root.sh: making $ROOT (a minute; what is said goes to $LOG)" >&2
step="fetching the packages"
download >>"$LOG" 2>&1 </dev/null
step="extracting the packages"
extract >>"$LOG" 2>&1 </dev/null
step="making the caches of the packages"
configure >>"$LOG" 2>&1 </dev/null
step="the check for all libraries"
check >>"$LOG" 2>&1 </dev/null

echo "$WANTED" >"$PART/.made_of"
rm -rf --one-file-system "$APT" "$ROOT"
mv "$PART" "$ROOT"
echo "$ROOT"
