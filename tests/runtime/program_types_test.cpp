// The tables of program types, their contexts and helpers against the running kernel: one tiny
// program per type and helper, per type and field, and per type and returned value.
#include "runtime/program_types.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <bpf/btf.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "runtime/helpers.h"
#include "runtime/kernel_features.h"
#include "runtime/kernel_functions.h"
#include "runtime/sections.h"
#include "tests/support/kernel_gate.h"

namespace tamis::runtime {
namespace {

// Every way in which sections have programs loaded here, each once.
std::vector<ProgramKind> kinds() {
    std::vector<ProgramKind> out;
    for (SectionRow const& row : sections()) {
        ProgramKind const kind{row.prog_type, row.attach_type};
        bool const is_new = std::find(out.begin(), out.end(), kind) == out.end();
        bool const is_known = kind.attach_type == 0 || row.since <= running_kernel();
        if (is_new && is_known) out.push_back(kind);
    }
    return out;
}

// Replacing another program's function, and where the kernel may refuse programs altogether.
constexpr std::uint32_t ext = 28, lsm = 29;

std::string text_of(ProgramKind kind) {
    return fmt::format("{} ({})", program_type(kind.type).name, kind.attach_type);
}

bool is_here(std::optional<Release> since) { return since && *since <= running_kernel(); }

// Which need more than a type: a part of the kernel that can be left out, or a boot parameter.
constexpr std::string_view beside_the_table[] = {"bpf_override_return", "bpf_probe_write_user"};

TEST(ProgramTypes, HelpersAreThoseOfTheTable) {
    TAMIS_NEED_KERNEL("root", geteuid() == 0);
    for (std::uint32_t type = 1; type < program_types().size(); ++type) {
        if (has_program_type(type) != Support::yes) continue;
        std::size_t tried = 0;
        for (std::uint32_t helper = 1; helper < helper_count(); ++helper) {
            std::string_view const name = helper_name(helper);
            if (std::count(std::begin(beside_the_table), std::end(beside_the_table), name))
                continue;
            // Some sections of a type may call what others may not.
            bool yes = false, no = false;
            for (ProgramKind const kind : kinds()) {
                if (kind.type != type || yes) continue;
                Support const here = may_call(kind, helper);
                yes = yes || here == Support::yes;
                no = no || here == Support::no;
            }
            if (!yes && !no) continue;
            ++tried;
            // fentry, where only some kernels let us ask, has helpers of its own.
            if (!yes && name.starts_with("bpf_get_func_")) continue;
            EXPECT_EQ(yes, is_here(helper_since(type, helper)))
                << name << " in " << program_type(type).name;
        }
        EXPECT_TRUE(tried > 150 || type == ext || type == lsm) << program_type(type).name;
    }
}

TEST(ProgramTypes, ContextsAreThoseOfTheTable) {
    TAMIS_NEED_KERNEL("root", geteuid() == 0);
    std::size_t tried = 0;
    for (ProgramKind const kind : kinds()) {
        Context const* context = find_context(kind.type, kind.attach_type);
        if (!context || !is_here(program_type(kind.type).since)) continue;
        for (ContextField const& field : context->fields) {
            SCOPED_TRACE(fmt::format("{}: {}->{}", text_of(kind), context->type, field.name));
            std::uint32_t const size = field.size > 8 ? 4 : field.size;
            Support const read = may_read(kind, field.offset, size);
            Support const write = may_write(kind, field.offset, size);
            if (read == Support::unknown) continue;
            ++tried;
            bool const here = is_here(context->since(field));
            EXPECT_EQ(read == Support::yes, here && context->reads(field));
            EXPECT_EQ(write == Support::yes, here && context->writes(field));
        }
    }
    EXPECT_GT(tried, 400U);
}

TEST(ProgramTypes, ReturnsAreThoseOfTheTable) {
    TAMIS_NEED_KERNEL("root", geteuid() == 0);
    constexpr std::uint32_t security_module = 27;  // BPF_LSM_MAC: by the function that it is at
    std::size_t tried = 0;
    for (ProgramKind const kind : kinds()) {
        if (kind == ProgramKind{lsm, security_module}) continue;
        auto const range = returns(kind.type, kind.attach_type);
        if (may_return(kind, range ? range->low : 0) != Support::yes) continue;
        ++tried;
        SCOPED_TRACE(text_of(kind));
        for (std::int32_t value = -1; value <= 5; ++value)
            EXPECT_EQ(may_return(kind, value) == Support::yes,
                      !range || (value >= range->low && value <= range->high))
                << value;
    }
    EXPECT_GT(tried, 40U);
}

// What is known of each without a kernel.
TEST(ProgramTypes, TableHoldsTogether) {
    for (Context const& context : contexts()) {
        EXPECT_FALSE(program_type(context.program_type).name.empty());
        for (std::string_view list : {context.hidden, context.writable})
            while (!list.empty()) {
                std::string_view const name = list.substr(0, list.find(' '));
                EXPECT_TRUE(std::any_of(context.fields.begin(), context.fields.end(),
                                        [&](ContextField const& f) { return f.name == name; }))
                    << name << " of " << context.type;
                list.remove_prefix(std::min(name.size() + 1, list.size()));
            }
    }
    for (std::uint32_t helper = 1; helper < helper_count(); ++helper) {
        std::size_t users = 0;
        for (std::uint32_t type = 1; type < program_types().size(); ++type)
            users += helper_since(type, helper).has_value();
        EXPECT_GT(users, 0U) << helper_name(helper) << " is in no row";
    }
    EXPECT_EQ(helper_since(1), (Release{3, 19}));
    EXPECT_EQ(helper_since(130), (Release{5, 8}));  // ringbuf_output
    EXPECT_EQ(helper_since(211), (Release{6, 2}));
    EXPECT_EQ(helper_since(9999), std::nullopt);
}

// What the kernel has is no newer than it is, and newer kernels say which functions can be called.
TEST(ProgramTypes, KernelFunctionsAreThoseOfTheTable) {
    TAMIS_NEED_KERNEL("the kernel's BTF", access("/sys/kernel/btf/vmlinux", R_OK) == 0);
    std::unique_ptr<btf, decltype(&btf__free)> const types(btf__load_vmlinux_btf(), btf__free);
    ASSERT_TRUE(types);
    constexpr Release newest{6, 18};  // that the table knows
    std::size_t known = 0;
    for (std::uint32_t id = 1; id < btf__type_cnt(types.get()); ++id) {
        btf_type const* type = btf__type_by_id(types.get(), id);
        std::string_view const name = btf__name_by_offset(types.get(), type->name_off);
        if (btf_is_func(type) && kernel_function_since(name)) {
            EXPECT_LE(*kernel_function_since(name), running_kernel()) << name;
            ++known;
        }
        if (!btf_is_decl_tag(type) || name != "bpf_kfunc" || running_kernel() > newest) continue;
        btf_type const* function = btf__type_by_id(types.get(), type->type);
        std::string_view const callable = btf__name_by_offset(types.get(), function->name_off);
        bool const is_for_tests = callable.starts_with("bpf_kfunc_call_") ||
                                  callable.starts_with("bpf_modify_return_test") ||
                                  callable == "bpf_fentry_test1";
        EXPECT_TRUE(is_for_tests || kernel_function_since(callable)) << callable;
    }
    EXPECT_GE(known, 15);  // 6.1 has 18
}

}  // namespace
}  // namespace tamis::runtime
