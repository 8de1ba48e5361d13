// The whole program: the filter, then what the hook is told and what is counted.
#include "translator/translate.h"

#include <cassert>

#include "translator/filter.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using ebpf::Alu;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Reg;
using ebpf::Size;

constexpr std::uint32_t counters_map = 0;

ebpf::MapSpec counters_spec() {
    return {.name = "counters",
            .type = ebpf::MapType::percpu_array,
            .key_size = 4,
            .max_entries = 2,
            .value_type = "counter",
            .value_fields = {"packets", "bytes"}};
}

Result<void> emit_form(Builder& b, cbpf::Program const& program, HookRow const& hook, Ends ends) {
    switch (hook.access) {
        case Access::ld_abs:
            return emit_socket_form(b, program, hook, ends);
        case Access::pointer:
            return emit_direct_form(b, program, hook, ends);
    }
    assert(false);
    return {};
}

// The filter as a function of its own; loads that fail and divisions by zero end here.
Result<void> emit_function(Builder& b, cbpf::Program const& program, HookRow const& hook) {
    Builder::Label const reject = b.label();
    if (auto done = emit_form(b, program, hook, {.reject = reject, .accept = std::nullopt}); !done)
        return done;
    if (b.is_used(reject)) b.from({}).bind(reject).mov32(Reg::r0, 0).exit();
    return {};
}

void add_to(Builder& b, HookRow const& hook, std::int32_t offset, Reg amount) {
    if (hook.softirq_only) {
        b.load(Size::dword, Reg::r2, Reg::r0, offset);
        b.alu(Alu::add, Reg::r2, amount);
        b.store(Size::dword, Reg::r0, offset, Reg::r2);
    } else {
        // Socket filters run in process context too, where an interrupt on the same CPU may count
        // in between.
        b.atomic_add(Size::dword, Reg::r0, offset, amount);
    }
}

// counters[index]: one packet more, and its bytes.  Keeps r6-r9.
void count(Builder& b, HookRow const& hook, Reg index) {
    Builder::Label const absent =
        b.label();  // the verifier wants the test; the entry always exists
    b.store(Size::word, frame, counter_key, index);
    b.mov(Reg::r2, frame).alu(Alu::add, Reg::r2, counter_key);
    b.load_map(Reg::r1, counters_map).call(Helper::map_lookup_elem);
    b.jump(Cond::eq, Reg::r0, 0, absent);
    b.mov(Reg::r1, 1);
    add_to(b, hook, 0, Reg::r1);
    if (hook.fields.len >= 0)
        b.load(Size::word, Reg::r1, context, hook.fields.len);
    else
        b.mov(Reg::r1, data_end).alu(Alu::sub, Reg::r1, data);
    add_to(b, hook, 8, Reg::r1);
    b.bind(absent);
}

// Ends the program with an action.  `verdict` holds the classic value where the hook's `keep` wants
// it.
void act(Builder& b, Action const& action, Reg verdict) {
    switch (action.name->arg) {
        case Arg::none:
            b.mov32(Reg::r0, action.name->code);
            break;
        case Arg::bytes:
            if (action.argument != 0)
                b.mov32(Reg::r0, static_cast<std::int32_t>(action.argument));
            else
                b.mov32(Reg::r0, verdict);
            break;
        case Arg::interface:
            b.mov32(Reg::r1, static_cast<std::int32_t>(action.argument)).mov32(Reg::r2, 0);
            b.call(Helper::redirect);
            break;
    }
    b.exit();
}

bool returns_the_filters_value(HookRow const& hook, Options const& options) {
    return hook.hook == Hook::socket && !options.stats &&
           options.match == Action{find_action(hook, "keep")} &&
           options.no_match == Action{find_action(hook, "drop")};
}

// Entry of a hook whose filter is a function: call it, count, act.
Result<void> emit_with_function(Builder& b, cbpf::Program const& program, HookRow const& hook,
                                Options const& options, std::vector<ebpf::Function>& functions) {
    constexpr Reg verdict = Reg::r7, index = Reg::r8;
    Builder::Label const filter = b.label(), pass = b.label(), no_match = b.label();
    bool const two_ends = options.match != options.no_match;
    b.mov(context, Reg::r1).call(filter);
    b.mov32(verdict, Reg::r0);
    if (options.stats) {
        b.mov32(index, static_cast<std::int32_t>(counter_passed)).jump(Cond::eq, verdict, 0, pass);
        b.mov32(index, static_cast<std::int32_t>(counter_matched)).bind(pass);
        count(b, hook, index);
    }
    if (two_ends) b.jump(Cond::eq, verdict, 0, no_match);
    act(b, options.match, verdict);
    if (two_ends) {
        b.bind(no_match);
        act(b, options.no_match, verdict);
    }
    b.bind(filter);
    functions.push_back({"classic", static_cast<std::uint32_t>(b.size())});
    return emit_function(b, program, hook);
}

// The filter in line: its ends lead straight to counting and the actions.
Result<void> emit_in_line(Builder& b, cbpf::Program const& program, HookRow const& hook,
                          Options const& options) {
    constexpr Reg index = X;  // free once the filter has ended
    Builder::Label const accept = b.label(), reject = b.label(), counting = b.label();
    if (auto done = emit_form(b, program, hook, {reject, accept}); !done) return done;
    b.from({});
    bool const accepts = b.is_used(accept), rejects = b.is_used(reject);
    auto const act_on = [&](Action const& action) { act(b, action, A); };
    if (!options.stats) {
        if (accepts) b.bind(accept), act_on(options.match);
        if (rejects) b.bind(reject), act_on(options.no_match);
        return {};
    }
    if (accepts) {
        b.bind(accept).mov32(index, static_cast<std::int32_t>(counter_matched));
        if (rejects) b.jump(counting);
    }
    if (rejects) b.bind(reject).mov32(index, static_cast<std::int32_t>(counter_passed));
    b.bind(counting);
    count(b, hook, index);
    if (accepts && rejects && options.match != options.no_match) {
        Builder::Label const no_match = b.label();
        b.jump(Cond::eq, index, 0, no_match);
        act_on(options.match);
        b.bind(no_match);
        act_on(options.no_match);
    } else {
        act_on(accepts ? options.match : options.no_match);
    }
    return {};
}

Result<ebpf::Program> finish(Builder& b, std::vector<ebpf::Function> functions, bool stats) {
    auto program = b.finish();
    if (!program) return program;
    program->functions = std::move(functions);
    if (stats) program->maps.push_back(counters_spec());
    return program;
}

}  // namespace

Result<ebpf::Program> translate_filter(cbpf::Program const& program, HookRow const& hook) {
    Builder b;
    if (auto done = emit_function(b, program, hook); !done) return fail(done.error());
    return finish(b, {{"classic", 0}}, false);
}

Result<ebpf::Program> translate(cbpf::Program const& program, Options const& options) {
    HookRow const& hook = row(options.hook);
    Builder b;
    std::vector<ebpf::Function> functions{{options.name, 0}};
    Result<void> const done =
        returns_the_filters_value(hook, options) ? emit_function(b, program, hook)
        : hook.access == Access::ld_abs ? emit_with_function(b, program, hook, options, functions)
                                        : emit_in_line(b, program, hook, options);
    if (!done) return fail(done.error());
    return finish(b, std::move(functions), options.stats);
}

}  // namespace tamis::translator
