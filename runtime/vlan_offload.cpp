#include "runtime/vlan_offload.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>
#include <vector>

#include <fmt/core.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "runtime/kernel.h"
#include "runtime/netlink.h"

namespace tamis::runtime {
namespace {

template <class Command>
Result<Command> ethtool(std::string const& interface, Command command) {
    Fd const socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
    request.ifr_data = reinterpret_cast<char*>(&command);
    if (socket && ioctl(socket.get(), SIOCETHTOOL, &request) == 0) return command;
    return fail(
        system_error(fmt::format("cannot ask for the offloads of '{}'", escape(interface)), errno));
}

// ETH_FLAG_RXVLAN or ETH_FLAG_TXVLAN; a device without flags has no offload.
Result<bool> has_flag(std::string const& interface, std::uint32_t flag) {
    ethtool_value command{};
    command.cmd = ETHTOOL_GFLAGS;
    auto const flags = ethtool(interface, command);
    if (flags) return (flags->data & flag) != 0;
    if (flags.error().message.ends_with("not supported")) return false;
    return fail(flags.error());
}

bool is_veth(std::string const& interface) {
    ethtool_drvinfo command{};
    command.cmd = ETHTOOL_GDRVINFO;
    auto const info = ethtool(interface, command);
    return info && std::string_view(info->driver) == "veth";
}

// The other end of a pair; nothing when it is in another network namespace.
Result<std::optional<std::string>> peer(std::string const& interface) {
    auto const index = interface_index(interface);
    if (!index) return fail(index.error());
    ifinfomsg wanted{};
    wanted.ifi_index = static_cast<int>(*index);
    auto const answers =
        NetlinkRequest(RTM_GETLINK, 0)
            .header(wanted)
            .talk(fmt::format("cannot ask for the peer of '{}'", escape(interface)));
    if (!answers) return fail(answers.error());
    for (Bytes const& answer : *answers) {
        if (answer.size() < sizeof(ifinfomsg)) continue;
        auto const all = attributes(std::span(answer).subspan(sizeof(ifinfomsg)));
        char name[IF_NAMESIZE];
        bool const here = find(all, IFLA_LINK_NETNSID).empty();
        if (here && if_indextoname(number(find(all, IFLA_LINK)), name)) return std::string(name);
    }
    return std::nullopt;
}

bool is_tag(std::uint32_t ethertype) {
    constexpr std::uint32_t tags[] = {0x8100, 0x88a8, 0x9100};
    return std::find(std::begin(tags), std::end(tags), ethertype) != std::end(tags);
}

bool is_vlan_metadata(cbpf::Insn const& insn) {
    using cbpf::Anc;
    if (cbpf::find(insn.code)->kind != cbpf::Kind::load_abs) return false;
    cbpf::Ancillary const* const found = cbpf::find_ancillary(insn.k);
    return found && (found->number == Anc::vlan_tag || found->number == Anc::vlan_tag_present ||
                     found->number == Anc::vlan_tpid);
}

}  // namespace

Result<std::optional<std::string>> vlan_offload_remedy(std::string const& interface) {
    if (!is_veth(interface)) {
        auto const on = has_flag(interface, ETH_FLAG_RXVLAN);
        if (!on) return fail(on.error());
        if (!*on) return std::nullopt;
        return fmt::format("ethtool -K {} rxvlan off", interface);
    }
    auto const other = peer(interface);
    if (!other) return fail(other.error());
    if (!*other) return "ethtool -K PEER txvlan off";
    auto const on = has_flag(**other, ETH_FLAG_TXVLAN);
    if (!on) return fail(on.error());
    if (!*on) return std::nullopt;
    return fmt::format("ethtool -K {} txvlan off", **other);
}

std::optional<Span> asks_for_tag(cbpf::Program const& program) {
    // What is known of the accumulator before each instruction: jumps go forward only.
    enum class A : std::uint8_t { unreached, ethertype, other };
    std::vector<A> before(program.insns.size(), A::unreached);
    auto const reach = [&](std::size_t index, A a) {
        if (index >= before.size()) return;
        before[index] = before[index] == A::unreached || before[index] == a ? a : A::other;
    };
    reach(0, A::other);
    for (std::size_t i = 0; i < program.insns.size(); ++i) {
        cbpf::Insn const& insn = program.insns[i];
        cbpf::Op const& op = *cbpf::find(insn.code);
        if (before[i] == A::unreached) continue;
        constexpr std::uint16_t load_half = 0x28, equal = 0x15;
        bool const compares = insn.code == equal && before[i] == A::ethertype && is_tag(insn.k);
        if (compares || is_vlan_metadata(insn))
            return i < program.origin.size() ? program.origin[i] : Span{};
        if (op.kind == cbpf::Kind::ret) continue;
        bool const loads = insn.code == load_half && insn.k == 12;
        bool const keeps = (op.writes & cbpf::A) == 0;
        A const after = loads ? A::ethertype : keeps ? before[i] : A::other;
        cbpf::Targets const to = cbpf::targets(insn, i, op.kind);
        reach(to.taken, after);
        reach(to.fallen, after);
    }
    return std::nullopt;
}

}  // namespace tamis::runtime
