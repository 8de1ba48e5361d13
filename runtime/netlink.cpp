#include "runtime/netlink.h"

#include <cerrno>
#include <cstring>

#include <linux/netlink.h>
#include <sys/socket.h>

#include "runtime/kernel.h"

namespace tamis::runtime {
namespace {

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

template <class Struct>
Struct read(std::span<std::byte const> bytes) {
    Struct out{};
    std::memcpy(&out, bytes.data(), std::min(bytes.size(), sizeof out));
    return out;
}

// The kernel's words behind an error, with NETLINK_EXT_ACK.
std::string words(std::span<std::byte const> answer) {
    if ((read<nlmsghdr>(answer).nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
    std::size_t begin = sizeof(nlmsghdr) + sizeof(nlmsgerr);
    if ((read<nlmsghdr>(answer).nlmsg_flags & NLM_F_CAPPED) == 0)
        begin += read<nlmsgerr>(answer.subspan(sizeof(nlmsghdr))).msg.nlmsg_len - sizeof(nlmsghdr);
    if (begin >= answer.size()) return {};
    return text(find(attributes(answer.subspan(begin)), NLMSGERR_ATTR_MSG));
}

Result<Fd> open() {
    Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!fd) return fail(system_error("cannot open a netlink socket", errno));
    int const on = 1;
    setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    return fd;
}

}  // namespace

std::vector<NetlinkAttribute> attributes(std::span<std::byte const> bytes) {
    std::vector<NetlinkAttribute> out;
    while (bytes.size() >= sizeof(nlattr)) {
        auto const header = read<nlattr>(bytes);
        if (header.nla_len < sizeof header || header.nla_len > bytes.size()) break;
        out.push_back({static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
                       bytes.subspan(sizeof header, header.nla_len - sizeof header)});
        bytes = bytes.subspan(std::min(aligned(header.nla_len), bytes.size()));
    }
    return out;
}

std::span<std::byte const> find(std::span<NetlinkAttribute const> all, std::uint16_t type) {
    for (NetlinkAttribute const& attribute : all)
        if (attribute.type == type) return attribute.value;
    return {};
}

std::uint32_t number(std::span<std::byte const> value) {
    return value.size() < sizeof(std::uint32_t) ? 0 : read<std::uint32_t>(value);
}

std::string text(std::span<std::byte const> value) {
    std::string const bytes(reinterpret_cast<char const*>(value.data()), value.size());
    return bytes.substr(0, bytes.find('\0'));
}

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags) {
    header(nlmsghdr{.nlmsg_len = 0,
                    .nlmsg_type = type,
                    .nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST | NLM_F_ACK),
                    .nlmsg_seq = 1,
                    .nlmsg_pid = 0});
}

NetlinkRequest& NetlinkRequest::append(std::span<std::byte const> bytes) {
    message_.insert(message_.end(), bytes.begin(), bytes.end());
    message_.resize(aligned(message_.size()));
    return *this;
}

NetlinkRequest& NetlinkRequest::attribute(std::uint16_t type, std::span<std::byte const> value) {
    return header(nlattr{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + value.size()),
                         .nla_type = type})
        .append(value);
}

NetlinkRequest& NetlinkRequest::attribute(std::uint16_t type, std::uint32_t value) {
    return attribute(type, std::as_bytes(std::span(&value, 1)));
}

NetlinkRequest& NetlinkRequest::attribute(std::uint16_t type, std::string_view text) {
    std::string const terminated(text);
    return attribute(type, std::as_bytes(std::span(terminated.c_str(), terminated.size() + 1)));
}

NetlinkRequest& NetlinkRequest::begin(std::uint16_t type) {
    open_.push_back(message_.size());
    return header(
        nlattr{.nla_len = 0, .nla_type = static_cast<std::uint16_t>(type | NLA_F_NESTED)});
}

NetlinkRequest& NetlinkRequest::end() {
    auto const size = static_cast<std::uint16_t>(message_.size() - open_.back());
    std::memcpy(message_.data() + open_.back() + offsetof(nlattr, nla_len), &size, sizeof size);
    open_.pop_back();
    return *this;
}

Result<std::vector<Bytes>> NetlinkRequest::talk(std::string_view what, int fine) {
    auto const size = static_cast<std::uint32_t>(message_.size());
    std::memcpy(message_.data() + offsetof(nlmsghdr, nlmsg_len), &size, sizeof size);
    auto const kernel = open();
    if (!kernel) return fail(kernel.error());
    if (send(kernel->get(), message_.data(), message_.size(), 0) < 0)
        return fail(system_error(what, errno));

    std::vector<Bytes> answers;
    Bytes buffer(std::size_t{64} << 10);
    while (true) {
        ssize_t const got = recv(kernel->get(), buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return fail(system_error(what, got == 0 ? ECONNRESET : errno));
        std::span<std::byte const> rest(buffer.data(), static_cast<std::size_t>(got));
        while (rest.size() >= sizeof(nlmsghdr)) {
            auto const header = read<nlmsghdr>(rest);
            if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest.size()) break;
            auto const message = rest.first(header.nlmsg_len);
            auto const body = message.subspan(sizeof header);
            if (header.nlmsg_type == NLMSG_DONE) return answers;
            if (header.nlmsg_type == NLMSG_ERROR) {
                int const error = -read<nlmsgerr>(body).error;
                if (error == 0 || error == fine) return answers;
                auto diagnostic = system_error(what, error);
                if (std::string const why = words(message); !why.empty())
                    diagnostic.notes.push_back({"the kernel: " + escape(why), std::nullopt});
                return fail(std::move(diagnostic));
            }
            answers.emplace_back(body.begin(), body.end());
            rest = rest.subspan(std::min(aligned(header.nlmsg_len), rest.size()));
        }
    }
}

}  // namespace tamis::runtime
