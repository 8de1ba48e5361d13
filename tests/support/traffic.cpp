#include "tests/support/traffic.h"

#include <initializer_list>
#include <random>
#include <set>
#include <string_view>

namespace tamis::test {
namespace {

class Maker {
  public:
    std::vector<std::uint8_t> packet() {
        out_.clear();
        mac(), mac();
        unsigned const kind = below(100);
        if (kind < 6) put({0x81, 0x00, 0x00, static_cast<std::uint8_t>(one_of({100, 200}))});
        if (kind < 79)
            ip4();
        else if (kind < 95)
            ip6();
        else if (kind < 98)
            arp();
        else
            half(one_of({0x88cc, 0x8863, 0x8847}));
        // The rest is payload, which makes every packet different from the others.
        while (out_.size() < 60 || below(12) != 0) word(static_cast<std::uint32_t>(random_()));
        out_.resize(std::min<std::size_t>(out_.size(), 1514));
        return out_;
    }

  private:
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
    std::uint32_t one_of(std::initializer_list<std::uint32_t> values) {
        return values.begin()[below(static_cast<unsigned>(values.size()))];
    }
    void put(std::initializer_list<std::uint8_t> bytes) {
        out_.insert(out_.end(), bytes.begin(), bytes.end());
    }
    void byte(std::uint32_t v) { out_.push_back(static_cast<std::uint8_t>(v)); }
    void half(std::uint32_t v) { byte(v >> 8), byte(v); }
    void word(std::uint32_t v) { half(v >> 16), half(v); }

    void mac() { put({0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(below(20))}); }
    void ip4_address() { word(below(4) == 0 ? 0xc0a80000 + below(256) : 0x0a000000 + below(8)); }
    void ip6_address() {
        word(below(3) == 0 ? 0xfe800000 : 0x20010db8);
        word(0), word(0), word(below(6));
    }

    void ip4() {
        unsigned const options = below(100) == 0 ? 1 + below(10) : 0;
        bool const later = below(50) == 0;
        std::uint32_t const protocol = transport_protocol(1);
        half(0x0800);
        byte(0x45 + options), byte(0);
        half(below(3) == 0 ? 40 + 4 * options : 60 + below(1000));
        half(below(65536)), half(later ? 0x2000 + 1 + below(180) : 0x4000);
        byte(below(20) == 0 ? 1 + below(5) : 64), byte(protocol), half(0);
        ip4_address(), ip4_address();
        for (unsigned i = 0; i < options; ++i) word(0x01010101);
        transport(protocol);
    }

    void ip6() {
        bool const fragment = below(50) == 0;
        std::uint32_t const protocol = transport_protocol(58);
        half(0x86dd);
        word(0x60000000), half(40 + below(1000));
        byte(fragment ? 44 : protocol), byte(below(20) == 0 ? 1 + below(5) : 64);
        ip6_address(), ip6_address();
        if (fragment) byte(protocol), byte(0), half(1), word(below(65536));
        transport(protocol);
    }

    void arp() {
        half(0x0806);
        half(1), half(0x0800), byte(6), byte(4), half(1 + below(2));
        mac(), ip4_address(), mac(), ip4_address();
    }

    std::uint32_t transport_protocol(std::uint32_t icmp) {
        unsigned const kind = below(100);
        return kind < 60 ? 6 : kind < 88 ? 17 : kind < 95 ? icmp : kind < 98 ? 132 : 50;
    }

    std::uint32_t port() {
        if (below(3) == 0) return 1024 + below(64000);
        return one_of({20, 22, 53, 67, 68, 80, 80, 123, 443, 443, 443, 8080});
    }

    void transport(std::uint32_t protocol) {
        if (protocol == 1 || protocol == 58) return void((byte(one_of({0, 3, 8, 128})), byte(0)));
        std::uint32_t const known = port(), other = 32768 + below(28000);
        bool const to = below(2) == 0;
        half(to ? other : known), half(to ? known : other);
        if (protocol != 6) return;
        unsigned const options = one_of({0, 0, 3});
        word(static_cast<std::uint32_t>(random_())), word(static_cast<std::uint32_t>(random_()));
        byte((5 + options) << 4), byte(one_of({0x10, 0x10, 0x18, 0x02, 0x12, 0x11}));
        half(65535), word(0);
        for (unsigned i = 0; i < options; ++i) word(0x0101080a);
        if (known == 80 && below(3) == 0)
            for (char const c : std::string_view("GET / HTTP/1.1\r\n"))
                byte(static_cast<std::uint8_t>(c));
    }

    std::mt19937_64 random_{1};
    std::vector<std::uint8_t> out_;
};

}  // namespace

std::vector<std::vector<std::uint8_t>> traffic(std::size_t count) {
    Maker maker;
    std::set<std::vector<std::uint8_t>> seen;
    std::vector<std::vector<std::uint8_t>> out;
    while (out.size() < count) {
        std::vector<std::uint8_t> packet = maker.packet();
        if (seen.insert(packet).second) out.push_back(std::move(packet));
    }
    return out;
}

}  // namespace tamis::test
