// Names through the C library (getaddrinfo(3), getnetbyname(3), ethers(5), services(5),
// protocols(5)).
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/ether.h>

#include "frontend/names.h"

namespace tamis::frontend {
namespace {

constexpr std::size_t scratch_size = 8192;  // for one entry with its aliases

template <class T>
void sort_once(std::vector<T>& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

std::optional<std::uint16_t> port(std::string const& name, char const* protocol) {
    servent entry{};
    servent* found = nullptr;
    char scratch[scratch_size];
    if (getservbyname_r(name.c_str(), protocol, &entry, scratch, sizeof scratch, &found) != 0 ||
        found == nullptr)
        return std::nullopt;
    return ntohs(static_cast<std::uint16_t>(found->s_port));
}

class SystemNames final : public Names {
  public:
    Hosts hosts(std::string_view name) const override {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;  // one answer per address
        addrinfo* list = nullptr;
        if (getaddrinfo(std::string(name).c_str(), nullptr, &hints, &list) != 0) return {};
        std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> const owner(list, freeaddrinfo);
        Hosts out;
        for (addrinfo const* at = list; at != nullptr; at = at->ai_next) {
            if (at->ai_family == AF_INET) {
                sockaddr_in address{};
                std::memcpy(&address, at->ai_addr, sizeof address);
                out.ip4.push_back(ntohl(address.sin_addr.s_addr));
            } else if (at->ai_family == AF_INET6) {
                sockaddr_in6 address{};
                std::memcpy(&address, at->ai_addr, sizeof address);
                std::array<std::uint32_t, 4> words{};
                std::memcpy(words.data(), &address.sin6_addr, sizeof words);
                for (std::uint32_t& word : words) word = ntohl(word);
                out.ip6.push_back(words);
            }
        }
        sort_once(out.ip4);
        sort_once(out.ip6);
        return out;
    }

    std::optional<std::uint32_t> network(std::string_view name) const override {
        netent entry{};
        netent* found = nullptr;
        char scratch[scratch_size];
        int why = 0;
        if (getnetbyname_r(std::string(name).c_str(), &entry, scratch, sizeof scratch, &found,
                           &why) != 0 ||
            found == nullptr || found->n_addrtype != AF_INET)
            return std::nullopt;
        return found->n_net;
    }

    std::optional<std::uint64_t> ether(std::string_view name) const override {
        ether_addr address{};
        if (ether_hostton(std::string(name).c_str(), &address) != 0) return std::nullopt;
        std::uint64_t value = 0;
        for (std::uint8_t const byte : address.ether_addr_octet) value = value << 8 | byte;
        return value;
    }

    // Of two numbers under one name, TCP's: so does libpcap.
    std::optional<Service> service(std::string_view name) const override {
        std::string const text(name);
        auto const tcp = port(text, "tcp"), udp = port(text, "udp");
        if (!tcp && !udp) return std::nullopt;
        return Service{tcp.value_or(udp.value_or(0)), tcp.has_value(),
                       udp.has_value() && (!tcp || *udp == *tcp)};
    }

    std::optional<std::uint32_t> ip_protocol(std::string_view name) const override {
        protoent entry{};
        protoent* found = nullptr;
        char scratch[scratch_size];
        if (getprotobyname_r(std::string(name).c_str(), &entry, scratch, sizeof scratch, &found) !=
                0 ||
            found == nullptr || found->p_proto < 0)
            return std::nullopt;
        return static_cast<std::uint32_t>(found->p_proto);
    }
};

}  // namespace

Names const& system_names() {
    static SystemNames const names;
    return names;
}

}  // namespace tamis::frontend
