#include "backend/c_prelude.h"

#include <fmt/format.h>

namespace tamis::backend {
namespace {

// Through a pointer into the packet: the body of a reader, by size and value.
constexpr std::string_view pointer_reader =
    R"(    u8 const *at = (u8 const *)(long)ctx->data, *end = (u8 const *)(long)ctx->data_end;
    if (offset > farthest) {{
        u8 copy[{0}];
        asm volatile("" : "+r"(offset)); /* apart from what is read below */
        if (bpf_xdp_load_bytes(ctx, offset, copy, {0})) return 0;
        at = copy;
        *value = {1};
        return 1;
    }}
    at += offset;
    asm volatile("" : "+r"(at)); /* what is checked is what is read */
    if (at + {0} > end) return 0;
    *value = {1};
    return 1;
}}
)";
constexpr std::string_view farthest =
    R"(enum { farthest = 0xffff - 4 }; /* where the verifier follows a packet pointer to; behind it a call reads */

)";

constexpr std::string_view classic_loads = R"(
/* The classic loads: where the packet is too short they end the function with 0. */
unsigned long long load_byte(void *skb, unsigned long long offset) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long offset) asm("llvm.bpf.load.half");
unsigned long long load_word(void *skb, unsigned long long offset) asm("llvm.bpf.load.word");
)";

constexpr std::string_view memory = R"(
struct packet {
    unsigned char const *bytes;
    size_t size;     /* of what is there */
    uint32_t length; /* on the wire */
};
)";

constexpr std::string_view counters = R"(
struct counter {
    u64 packets, bytes;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2); /* 0 passed, 1 matched */
    __type(key, u32);
    __type(value, struct counter);
} counters SEC(".maps");

)";

std::string_view big_endian(unsigned size) {
    return size == 1   ? "at[0]"
           : size == 2 ? "(u32)at[0] << 8 | at[1]"
                       : "(u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3]";
}

}  // namespace

std::string CPrelude::begin(std::string const& filter) const {
    std::string out = "/*\n *     " + filter + "\n *\n * Made by tamis.";
    if (!hook_) {
        return out +
               "  A packet that ends before what is asked for does not match.\n */\n"
               "#include <stddef.h>\n#include <stdint.h>\n\ntypedef uint8_t u8;\ntypedef uint32_t "
               "u32;\n" +
               std::string(memory) + "\n";
    }
    return out +
           fmt::format(
               "  For hook {}: clang -g -O2 -target bpf\n *\n * A packet that ends before what is "
               "asked for does not match.\n */\n#include <linux/bpf.h>\n#include "
               "<bpf/bpf_endian.h>\n#include <bpf/bpf_helpers.h>\n\ntypedef __u8 u8;\ntypedef "
               "__u32 u32;\ntypedef __u64 u64;\n\n",
               hook_->name);
}

std::string CPrelude::reader(unsigned size) const {
    std::string const head = fmt::format("static {}int read{}({}, {} offset, u32 *value)\n{{\n",
                                         hook_ ? "__always_inline " : "inline ", 8 * size,
                                         parameter(), hook_ ? "u32" : "uint64_t");
    if (!hook_)
        return head +
               fmt::format(
                   "    if (offset > packet->size || packet->size - offset < {0}) return 0;\n"
                   "    u8 const *at = packet->bytes + offset;\n"
                   "    *value = {1};\n    return 1;\n}}\n",
                   size, big_endian(size));
    if (hook_->access == Access::ld_abs)
        return head + fmt::format("    *value = load_{}(ctx, offset);\n    return 1;\n}}\n",
                                  size == 1   ? "byte"
                                  : size == 2 ? "half"
                                              : "word");
    if (hook_->context == "xdp_md" && hook_->linear)
        return head + fmt::format(fmt::runtime(pointer_reader), size, big_endian(size));
    return head + fmt::format(
                      "    u8 at[{0}]; /* wherever they are, in pages too */\n"
                      "    if (bpf_{1}_load_bytes(ctx, offset, at, {0})) return 0;\n"
                      "    *value = {2};\n    return 1;\n}}\n",
                      size, hook_->context == "xdp_md" ? "xdp" : "skb", big_endian(size));
}

std::string CPrelude::readers(std::set<unsigned> const& sizes) const {
    std::string out;
    if (sizes.empty()) return out;
    if (hook_ && hook_->access == Access::ld_abs)
        out += std::string(classic_loads).substr(1) + "\n";
    if (hook_ && hook_->context == "xdp_md" && hook_->linear) out += farthest;
    for (unsigned const size : sizes) out += reader(size) + "\n";
    return out;
}

std::string CPrelude::parameter() const {
    return hook_ ? fmt::format("struct {} *ctx", hook_->context) : "struct packet const *packet";
}

// A classic load that fails ends the function that it stands in: it must not be the program.
std::string CPrelude::linkage(std::string_view function) const {
    bool const apart = hook_ && hook_->access == Access::ld_abs && function == "filter";
    return apart ? "__attribute__((noinline)) " : "";
}

std::string_view CPrelude::length() const {
    if (!hook_) return "packet->length";
    if (hook_->fields.len >= 0) return "ctx->len";
    return hook_->linear ? "(ctx->data_end - ctx->data)" : "(u32)bpf_xdp_get_buff_len(ctx)";
}

std::string CPrelude::metadata(cbpf::Anc number) const {
    using cbpf::Anc;
    if (!hook_) return {};
    if (number == Anc::cpu) return "bpf_get_smp_processor_id()";
    if (number == Anc::random) return "bpf_get_prandom_u32()";
    if (!find_metadata(*hook_, number)) return {};
    bool const xdp = hook_->context == "xdp_md";
    switch (number) {
        case Anc::protocol:
            return "bpf_ntohs(ctx->protocol)";
        case Anc::pkttype:
            return "ctx->pkt_type";
        case Anc::ifindex:
            return xdp ? "ctx->ingress_ifindex" : "ctx->ifindex";
        case Anc::mark:
            return "ctx->mark";
        case Anc::queue:
            return "ctx->queue_mapping";
        case Anc::rxhash:
            return "ctx->hash";
        case Anc::vlan_tag:
            return "ctx->vlan_tci";
        case Anc::vlan_tag_present:
            return "ctx->vlan_present";
        case Anc::vlan_tpid:
            return "bpf_ntohs(ctx->vlan_proto)";
        case Anc::nlattr:
        case Anc::nlattr_nest:
        case Anc::hatype:
        case Anc::cpu:
        case Anc::alu_xor_x:
        case Anc::pay_offset:
        case Anc::random:
            break;
    }
    return {};
}

std::string CPrelude::sum(std::string const& x, std::uint32_t k) const {
    if (k == 0) return x;
    return hook_ ? fmt::format("{} + {}", x, k) : fmt::format("(uint64_t){} + {}", x, k);
}

std::string CPrelude::shift(std::string const& a, std::string const& symbol,
                            std::string const& by) const {
    if (hook_) return fmt::format("{} {} ({} & 31)", a, symbol, by);
    return fmt::format("({2} < 32 ? {0} {1} ({2} & 31) : 0)", a, symbol, by);
}

bool CPrelude::returns_values() const {
    return hook_ && options_.match.name->arg == Arg::bytes && options_.match.argument == 0;
}

std::string CPrelude::verdict(std::uint32_t k) const {
    return std::to_string(returns_values() || k == 0 ? k : 1);
}

std::string CPrelude::action(Action const& action) const {
    switch (action.name->arg) {
        case Arg::none:
            return fmt::format("{} /* {} */", action.name->code, action.name->name);
        case Arg::bytes:
            return action.argument == 0 ? "verdict"
                                        : fmt::format("{} /* bytes */", action.argument);
        case Arg::interface:
            return fmt::format("bpf_redirect({}, 0)", action.argument);
    }
    return {};
}

std::string CPrelude::entry() const {
    if (!hook_)
        return fmt::format(
            "/* 1 for a match, 0 for none. */\nint {}(struct packet const *packet)\n{{\n"
            "    return filter(packet) != 0;\n}}\n",
            options_.name);
    std::string out = options_.stats ? std::string(counters).substr(1) : "";
    out += fmt::format("SEC(\"{}\")\nint {}({})\n{{\n    u32 verdict = filter(ctx);\n",
                       hook_->section, options_.name, parameter());
    if (options_.stats) {
        std::string_view const add =
            hook_->softirq_only ? "        counter->packets += 1;\n        counter->bytes += {};\n"
                                : "        __sync_fetch_and_add(&counter->packets, 1);\n"
                                  "        __sync_fetch_and_add(&counter->bytes, {});\n";
        out +=
            "    u32 index = verdict != 0;\n"
            "    struct counter *counter = bpf_map_lookup_elem(&counters, &index);\n"
            "    if (counter) {\n" +
            fmt::format(fmt::runtime(add), length()) + "    }\n";
    }
    out += options_.match == options_.no_match
               ? fmt::format("    return {};\n", action(options_.match))
               : fmt::format("    return verdict ? {} : {};\n", action(options_.match),
                             action(options_.no_match));
    return out + "}\n\nchar _license[] SEC(\"license\") = \"Dual BSD/GPL\";\n";
}

}  // namespace tamis::backend
