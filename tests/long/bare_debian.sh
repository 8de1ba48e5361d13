#!/usr/bin/env bash
# Proves the install steps: ./quickstart, then ./check without kernel tests, on a Debian 12 with
# nothing installed.  Needs root and the network; works in a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/setup.sh
[ "$(id -u)" -eq 0 ] || { echo "debootstrap and chroot need root" && exit 3; }
# What is mounted from here on goes with this script.
[ -n "${TAMIS_MOUNTS:-}" ] ||
    TAMIS_MOUNTS=private exec unshare --mount --propagation private "tests/long/bare_debian.sh"
install_packages long

# The mirror that this machine installs from.
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" { print $2; exit }')
[ -n "$mirror" ] || { echo "no Debian 12 mirror in the sources of apt here" && exit 3; }

root=$(mktemp -d)
chmod 755 "$root" # apt fetches as a user of its own
clean_up() {
    umount -lR "$root"
    rm -rf --one-file-system "$root"
}
trap clean_up EXIT
mount --bind "$root" "$root"

debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log" && exit 1; }
rm "$root.log"
mount -t proc proc "$root/proc"
cp -L /etc/resolv.conf "$root/etc/"
git clone --quiet . "$root/root/tamis"

inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        TAMIS_KERNEL=no bash -c "cd /root/tamis && $1"
}
inside "./quickstart 'udp port 53'"
inside ./check
