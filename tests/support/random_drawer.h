// Draws the parts of random filters: tests/support/random_expr.h.  A drawing is one walk from left
// to right, as the language's own: headers around the packet move what comes after them.  No two
// draws are in one call or sum: compilers take those in different orders, and a seed means the same
// filters for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "tests/support/random_words.h"

namespace tamis::test::drawing {

// Text, and what it can be true and false of.
struct Term {
    std::string text;
    Kinds kinds = every_kind, missed = every_kind;
};

// Text of arithmetic, and its values for two packets.
struct Value {
    static constexpr unsigned whole = 9;  // binds tighter than any operator

    std::string text;
    std::uint32_t values[2] = {0, 0};
    unsigned binds = whole;
    bool open = false;  // a `%` or `^` at its end takes all that follows
};

class Drawer {
  public:
    Drawer(std::mt19937_64& random, int link_type) : random_(random), has_(has_of(link_type)) {}

    Term chain(unsigned depth, Kinds allowed, Kinds missed);

    // The rows' functions, in their order.
    Term word();
    Term llc_word();
    Term osi_word();
    Term isis_word();
    Term host4();
    Term net4();
    Term host6();
    Term net6();
    Term port();
    Term portrange();
    Term mac();
    Term ether_proto();
    Term sap_proto();
    Term ip_proto();
    Term decnet();
    Term cast();
    Term ip_cast();
    Term ip6_cast();
    Term length();
    Term byte();
    Term relation();
    Term idiom();
    Term idiom6();
    Term llc();
    Term direction();
    Term ifindex();
    Term vlan();
    Term mpls();
    Term pppoed();
    Term pppoes();
    Term tunnel();
    Term protochain();
    Term frame();
    Term frame_dir();
    Term frame_address();
    Term pf();

  private:
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    template <class T, std::size_t n>
    T const& pick(T const (&rows)[n]) {
        return rows[below(n)];
    }
    template <std::size_t n>
    Term pick_word(Word const (&words)[n]);
    Term test();
    Term operand(unsigned depth);
    template <class Id>
    std::string ids(std::string const& before, std::string const& dir, std::string const& after,
                    Id const& id);
    template <class Id>
    std::string list(std::string const& qualifiers, bool either, Id const& id);
    Term addressed4();
    Term ported();
    std::string number(std::uint32_t value);
    std::string argument(std::uint32_t most);
    void inside(std::uint32_t has) {
        has_ = has;
        allowed_ = missed_ = moved_ = kinds_on(has);
    }
    Value arithmetic(unsigned depth);
    Value leaf(unsigned depth);
    Value access(unsigned depth);

    std::mt19937_64& random_;
    std::uint32_t has_;
    // Kinds of packets that what is drawn should be true of, and those it should be false of.
    Kinds allowed_ = every_kind, missed_ = every_kind;
    Kinds moved_ = 0;  // those behind headers that were drawn in this term
    unsigned tunnels_ = 0;
};

}  // namespace tamis::test::drawing
