// The words of the language that are not names: keywords and named constants, one table.
#pragma once

#include <cstdint>
#include <string_view>

namespace tamis::frontend {

// What a token is; keywords that the grammar treats alike share a kind.
enum class Kind : std::uint8_t {
    // words
    number,
    name,
    ipv4,       // two to four numbers joined by dots
    ipv6,       // without a prefix length
    mac,        // MAC-48
    mac8,       // $ and one or two hex digits
    keyword,    // any that is not listed below
    direction,  // src dst: they also come in pairs, `src or dst`
    compares,   // words that a comparison may follow: `byte 0 = 1`
    // structure
    length,  // len: an operand of arithmetic
    and_,
    or_,
    not_,
    open,
    close,
    open_arith,  // parentheses around arithmetic
    close_arith,
    open_bracket,
    close_bracket,
    colon,
    // arithmetic
    plus,
    minus,
    star,
    slash,
    percent,
    ampersand,
    pipe,
    caret,
    shift_left,
    shift_right,
    // comparison
    lt,
    le,
    gt,
    ge,
    eq,
    ne,
    end,  // of the text; always the last token
};

// The keywords that mean something by themselves.  Spellings that mean the same share one.
enum class Word : std::uint8_t {
    none,  // not a keyword
    // protocols
    link,
    ip,
    ip6,
    arp,
    rarp,
    tcp,
    udp,
    sctp,
    icmp,
    icmp6,
    igmp,
    igrp,
    pim,
    vrrp,
    ah,
    esp,
    atalk,
    aarp,
    decnet,
    lat,
    sca,
    moprc,
    mopdl,
    iso,
    stp,
    ipx,
    netbeui,
    clnp,
    esis,
    isis,
    l1,
    l2,
    iih,
    lsp,
    snp,
    csnp,
    psnp,
    radio,
    // what the identifier is compared with
    src,
    dst,
    addr1,
    addr2,
    addr3,
    addr4,
    ra,
    ta,
    host,
    net,
    port,
    portrange,
    proto,
    protochain,
    gateway,
    mask,
    // whole tests
    broadcast,
    multicast,
    less,
    greater,
    byte,
    vlan,
    mpls,
    pppoed,
    pppoes,
    geneve,
    vxlan,
    llc,
    inbound,
    outbound,
    ifindex,
    type,
    subtype,
    dir,
    ifname,
    ruleset,
    rulenum,
    subrulenum,
    reason,
    action,
    // grammar
    len,
    and_,
    or_,
    not_,
    // part of the language, but not compiled yet: of link types that have their own words
    atm,
    ss7,
};

struct WordRow {
    std::string_view spelling;
    Kind kind;
    Word word = Word::none;
    std::uint32_t value = 0;  // of a named constant
};

// The row of a spelling; null for words that are names.  Keywords are lower case.
WordRow const* find_word(std::string_view spelling);

// The spelling of a keyword, its first one in the table.
std::string_view spelling(Word word);

// The keyword that somebody who wrote `misspelt` probably meant; empty when none is near.
std::string_view nearest_word(std::string_view misspelt);

}  // namespace tamis::frontend
