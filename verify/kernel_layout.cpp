#include "verify/kernel_layout.h"

#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include <bpf/btf.h>
#include <fmt/core.h>

#include "runtime/libbpf_words.h"

namespace tamis::verify {
namespace {

using translator::KernelModel;
using translator::Symbol;
using translator::SymbolKind;
using Field = std::uint32_t WalkOffsets::*;

struct WalkRow {
    std::string_view type, member;
    Field field;
    bool needed;  // the walk makes no sense without it
};
// clang-format off
constexpr WalkRow walk_rows[] = {
    {"task_struct",    "tgid",           &WalkOffsets::task_tgid,       true},
    {"task_struct",    "seccomp",        &WalkOffsets::task_seccomp,    false},
    {"seccomp",        "filter",         &WalkOffsets::seccomp_filter,  false},
    {"seccomp_filter", "prog",           &WalkOffsets::filter_prog,     false},
    {"seccomp_filter", "prev",           &WalkOffsets::filter_prev,     false},
    {"file",           "f_inode",        &WalkOffsets::file_inode,      true},
    {"inode",          "i_mode",         &WalkOffsets::inode_mode,      true},
    {"file",           "private_data",   &WalkOffsets::file_data,       true},
    {"socket",         "sk",             &WalkOffsets::socket_sock,     true},
    {"sock",           "__sk_common",    &WalkOffsets::sock_common,     true},
    {"sock_common",    "skc_family",     &WalkOffsets::common_family,   true},
    {"sock",           "sk_filter",      &WalkOffsets::sock_filter,     true},
    {"sk_filter",      "prog",           &WalkOffsets::sk_filter_prog,  true},
    {"sock",           "sk_reuseport_cb", &WalkOffsets::sock_reuseport, false},
    {"sock_reuseport", "prog",           &WalkOffsets::reuseport_prog,  false},
    {"packet_sock",    "fanout",         &WalkOffsets::packet_fanout,   false},
    {"packet_fanout",  "type",           &WalkOffsets::fanout_type,     false},
    {"packet_fanout",  "bpf_prog",       &WalkOffsets::fanout_prog,     false},
    {"bpf_prog",       "len",            &WalkOffsets::prog_len,        true},
    {"bpf_prog",       "type",           &WalkOffsets::prog_type,       true},
    {"bpf_prog",       "aux",            &WalkOffsets::prog_aux,        true},
    {"bpf_prog",       "insnsi",         &WalkOffsets::prog_insns,      true},
    {"bpf_prog_aux",   "stack_depth",    &WalkOffsets::aux_stack_depth, true},
};
// clang-format on
constexpr std::string_view task_file_iterator = "bpf_iter_task_file",
                           task_iterator = "bpf_iter_task";

Diagnostic unable(std::string message, std::string note) {
    return {.message = std::move(message),
            .span = {},
            .notes = {{std::move(note), std::nullopt}},
            .fault = Fault::system};
}

// The kernel's types by name; of several with one name the first, which is the kernel's own.
class Types {
  public:
    static Result<Types> load() {
        runtime::LibbpfWords const words;  // libbpf would say it on standard error
        Types types;
        types.btf_.reset(btf__load_vmlinux_btf());
        if (!types.btf_)
            return fail(unable(fmt::format("cannot read the kernel's type information: {}",
                                           system_error("BTF", errno).message),
                               "a kernel with CONFIG_DEBUG_INFO_BTF has /sys/kernel/btf/vmlinux"));
        types.index();
        return types;
    }

    // Bits from the start of the structure, through members without a name; none when it has no
    // such member.
    std::optional<std::uint32_t> bit(std::string_view type, std::string_view member) const {
        auto const at = structs_.find(type);
        if (at == structs_.end() || at->second == 0) return std::nullopt;
        return bit(at->second, member);
    }
    std::optional<std::uint32_t> byte(std::string_view type, std::string_view member) const {
        auto const found = bit(type, member);
        return found ? std::optional(*found / 8) : std::nullopt;
    }
    std::uint32_t function(std::string_view name) const {
        auto const at = functions_.find(name);
        return at == functions_.end() ? 0 : at->second;
    }

  private:
    struct Free {
        void operator()(btf* b) const { btf__free(b); }
    };

    void index() {
        for (WalkRow const& row : walk_rows) structs_.emplace(row.type, 0);
        structs_.emplace("sk_buff", 0);
        structs_.emplace("net_device", 0);
        functions_ = {{task_file_iterator, 0}, {task_iterator, 0}};
        for (std::uint32_t id = 1; id < btf__type_cnt(btf_.get()); ++id) {
            btf_type const* const type = btf__type_by_id(btf_.get(), id);
            bool const is_struct = btf_is_struct(type);
            if (!is_struct && !btf_is_func(type)) continue;
            auto& names = is_struct ? structs_ : functions_;
            auto const at = names.find(btf__name_by_offset(btf_.get(), type->name_off));
            if (at != names.end() && at->second == 0) at->second = id;
        }
    }

    std::optional<std::uint32_t> bit(std::uint32_t id, std::string_view name) const {
        btf_type const* const type = btf__type_by_id(btf_.get(), id);
        btf_member const* const members = btf_members(type);
        for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
            std::uint32_t const at = btf_member_bit_offset(type, i);
            std::string_view const found = btf__name_by_offset(btf_.get(), members[i].name_off);
            if (found == name) return at;
            if (!found.empty()) continue;
            int const inner = btf__resolve_type(btf_.get(), members[i].type);
            if (inner <= 0 || !btf_is_composite(btf__type_by_id(btf_.get(), unsigned(inner))))
                continue;
            if (auto const deeper = bit(static_cast<std::uint32_t>(inner), name))
                return at + *deeper;
        }
        return std::nullopt;
    }

    std::unique_ptr<btf, Free> btf_;
    std::unordered_map<std::string_view, std::uint32_t> structs_, functions_;
};

Result<WalkOffsets> walk_offsets(Types const& types) {
    WalkOffsets walk{};
    for (WalkRow const& row : walk_rows) {
        auto const found = types.byte(row.type, row.member);
        if (!found && row.needed)
            return fail(
                unable(fmt::format("this kernel's struct {} has no '{}'", row.type, row.member),
                       "it is newer or older than those that this version knows, 5.10 to 7.3"));
        walk.*row.field = found.value_or(WalkOffsets::absent);
    }
    walk.prog_blinded_bit = types.bit("bpf_prog", "blinded").value_or(WalkOffsets::absent);
    walk.iter_task_file = types.function(task_file_iterator);
    walk.iter_task = types.function(task_iterator);
    return walk;
}

void field_symbols(Types const& types, translator::Layout& symbols) {
    for (translator::SymbolRow const& row : translator::symbols()) {
        if (row.kind != SymbolKind::skb_field && row.kind != SymbolKind::device_field) continue;
        auto const found =
            types.byte(row.kind == SymbolKind::skb_field ? "sk_buff" : "net_device", row.name);
        if (found) symbols[row.symbol] = static_cast<std::int32_t>(*found);
    }
    // A bit-field has no address of its own, so most kernels have a marker in front of it.
    if (auto const marker = types.byte("sk_buff", "__pkt_type_offset"))
        symbols[Symbol::pkt_type] = static_cast<std::int32_t>(*marker);
}

// Which of the translation's variants this kernel has, told from what its structures hold.
KernelModel model_of(Types const& types, WalkOffsets const& walk) {
    KernelModel model;
    model.big_endian = std::endian::native == std::endian::big;
    model.program_header = walk.prog_insns;
    std::ifstream("/proc/sys/net/core/optmem_max") >> model.optmem_max;
    if (!types.bit("sk_buff", "vlan_all")) {
        model.vlan_present = KernelModel::VlanPresent::bit;
        std::uint32_t const bit = types.bit("sk_buff", "vlan_present").value_or(0) % 8;
        model.vlan_present_bit = static_cast<std::uint8_t>(bit);
    }
#if !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__) && !defined(__s390x__) && \
    !defined(__powerpc64__)
    model.alignment = KernelModel::Alignment::aligned;
#endif
    return model;
}

// ---- /proc/kallsyms

using Addresses = std::unordered_map<std::string_view, std::uint64_t>;
constexpr std::string_view call_base = "__bpf_call_base";
constexpr std::array<std::string_view, 3> uncached_names = {"bpf_skb_load_helper_8_no_cache",
                                                            "bpf_skb_load_helper_16_no_cache",
                                                            "bpf_skb_load_helper_32_no_cache"};

// A line is `ffffffff814ca650 T __bpf_call_base`, with `\t[module]` behind a module's.
void read_line(std::string_view line, Addresses& wanted, std::size_t& missing) {
    std::size_t const space = line.find(' ');
    if (space == line.npos || line.size() < space + 4) return;
    auto const at = wanted.find(line.substr(space + 3));
    if (at == wanted.end() || at->second != 0) return;
    std::from_chars(line.data(), line.data() + space, at->second, 16);
    if (at->second != 0) --missing;
}

// Fills in the addresses of the functions by name; 0 stays where there is none to see.
Result<void> find_addresses(Addresses& wanted) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen("/proc/kallsyms", "re"),
                                                               &std::fclose);
    if (!file) return fail(system_error("cannot read /proc/kallsyms", errno));
    std::size_t missing = wanted.size(), kept = 0;
    std::array<char, 65536> chunk;
    while (missing > 0) {
        std::size_t const got = std::fread(chunk.data() + kept, 1, chunk.size() - kept, file.get());
        if (got == 0) break;
        std::string_view rest(chunk.data(), kept + got);
        for (std::size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1))
            read_line(rest.substr(0, end), wanted, missing);
        kept = rest.size() < chunk.size() ? rest.size() : 0;
        std::copy(rest.end() - static_cast<std::ptrdiff_t>(kept), rest.end(), chunk.begin());
    }
    return {};
}

Result<void> function_symbols(KernelLayout& layout) {
    Addresses addresses{{call_base, 0}};
    for (std::string_view const name : uncached_names) addresses.emplace(name, 0);
    for (translator::SymbolRow const& row : translator::symbols())
        if (row.kind == SymbolKind::function) addresses.emplace(row.name, 0);
    if (auto found = find_addresses(addresses); !found) return found;
    std::uint64_t const base = addresses[call_base];
    if (base == 0)
        return fail(unable("the kernel does not show the addresses of its functions",
                           "this needs CAP_SYSLOG, or the sysctl kernel.kptr_restrict at 0"));
    auto const relative = [&](std::string_view name) -> std::optional<std::int32_t> {
        std::uint64_t const address = addresses[name];
        if (address == 0) return std::nullopt;
        return static_cast<std::int32_t>(address - base);
    };
    for (translator::SymbolRow const& row : translator::symbols())
        if (row.kind == SymbolKind::function) layout.symbols[row.symbol] = relative(row.name);
    layout.uncached = {relative(uncached_names[0]), relative(uncached_names[1]),
                       relative(uncached_names[2])};
    return {};
}

}  // namespace

Result<KernelLayout> running_kernel() {
    auto const types = Types::load();
    if (!types) return fail(types.error());
    auto const walk = walk_offsets(*types);
    if (!walk) return fail(walk.error());
    KernelLayout layout;
    layout.walk = *walk;
    layout.model = model_of(*types, *walk);
    field_symbols(*types, layout.symbols);
    if (auto found = function_symbols(layout); !found) return fail(found.error());
    return layout;
}

}  // namespace tamis::verify
