# For scripts that source this: a veth pair, near (10.77.0.1) here and far (10.77.0.2) in a network
# namespace of its own, `peer`, so that its address is not local.

fail() {
    echo "$*"
    exit 1
}

pings() { ping -c 3 -i 0.1 -W 1 10.77.0.2 >/tmp/ping; }
pings_from_peer() { ip netns exec peer ping -c 3 -i 0.1 -W 1 10.77.0.1 >/tmp/ping; }

make_network() {
    ip netns add peer
    ip link add near type veth peer name far netns peer
    ip address add 10.77.0.1/24 dev near
    ip link set near up
    ip -n peer address add 10.77.0.2/24 dev far
    ip -n peer link set far up
    pings || fail "the veth pair does not work"
}

remove_network() {
    ip link del near
    ip netns del peer
}
