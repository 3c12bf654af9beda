#!/usr/bin/env bash
# Runs a command inside a folder that make_root.sh made.
#
#   tests/gimp/enter_root.sh ROOT FOLDER COMMAND [ARGUMENT...]
#
# FOLDER is seen at the same path inside; this machine's own files are seen below /host, so that a
# program started in there can start one out here. Loopback is shared. The mounts vanish with the
# command. Of the environment only what the command itself sets is kept.
set -euo pipefail

# shellcheck disable=SC2016 # the inner shell expands them
exec unshare --mount --propagation private bash -euc '
    root=$1 folder=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mkdir -p "$folder/tmp" "$root/host"
    mount --bind "$folder/tmp" "$root/tmp" # shared by all that are in here for the same FOLDER
    mkdir -p "$root$folder"
    mount --rbind / "$root/host"
    mount --bind "$folder" "$root$folder"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
' bash "$@"
