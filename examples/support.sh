# What the scripts of examples have in common; they source it.
set -euo pipefail

skip() {
    echo "$1"
    [ "${TAMIS_REQUIRE_KERNEL:-}" = 1 ] && exit 1
    exit 77 # what meson takes for a skipped test
}

# need TOOL...: root, the kernel, and these programs.
need() {
    [ "${TAMIS_KERNEL:-}" != no ] || { echo "TAMIS_KERNEL=no" && exit 77; }
    [ "$(id -u)" -eq 0 ] || skip "loading a program needs root (CAP_BPF and CAP_NET_ADMIN)"
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

# two_networks NAME PREFIX: the network namespaces $ns and $peer, joined by a veth0 in each with the
# addresses PREFIX.1 and PREFIX.2; and $folder, for files.  All of it is gone when the script ends, and
# so is what is pinned as /sys/fs/bpf/$ns.
two_networks() {
    ns=tamis-$1-$$ peer=tamis-$1-peer-$$
    ip netns add "$ns" 2>/dev/null || skip "network namespaces need CAP_SYS_ADMIN"
    folder=$(mktemp -d)
    trap clean_up EXIT
    ip netns add "$peer"
    ip link add veth0 netns "$ns" type veth peer name veth0 netns "$peer"
    ip -n "$ns" address add "$2.1/24" dev veth0
    ip -n "$peer" address add "$2.2/24" dev veth0
    ip -n "$ns" link set veth0 up
    ip -n "$peer" link set veth0 up
}
clean_up() {
    ip netns del "$ns"
    ip netns del "$peer" 2>/dev/null || true
    rm -rf "$folder" "/sys/fs/bpf/$ns"
}
