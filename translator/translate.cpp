// The whole program: the filter, then what the hook is told and what is counted.
#include "translator/translate.h"

#include <cassert>

#include <fmt/core.h>

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
            .value_fields = {"packets", "bytes"},
            .content = {}};
}

Diagnostic too_long(std::size_t instructions) {
    return {fmt::format("{} instructions of eBPF: the kernel takes at most {}", instructions,
                        ebpf::max_insns),
            std::nullopt,
            {{"make several filters of it, each with a part of the list: -f A=EXPR -f B=EXPR",
              std::nullopt}}};
}

// The filter as a function of its own; loads that fail and divisions by zero end here.
Result<void> emit_function(Builder& b, cbpf::Program const& program, HookRow const& hook,
                           Shape const& shape) {
    Builder::Label const reject = b.label(), later = b.label();
    auto const place = [&](bool, bool) {
        if (b.is_bound(reject) || !(b.is_used(reject) || b.is_used(later))) return;
        b.from({}).bind(reject).bind(later).mov32(Reg::r0, 0).exit();
    };
    Ends const ends{reject, later, std::nullopt, place};
    if (hook.access != Access::ld_abs)
        return emit_direct_form(b, program, hook, shape, {.ends = ends});
    auto done = emit_socket_form(b, program, hook, ends);
    if (done) place(false, false);
    return done;
}

void add_to(Builder& b, HookRow const& hook, std::int32_t offset, Reg amount) {
    if (hook.softirq_only) {
        b.load(Size::dword, Reg::r2, Reg::r9, offset);
        b.alu(Alu::add, Reg::r2, amount);
        b.store(Size::dword, Reg::r9, offset, Reg::r2);
    } else {
        // Socket filters run in process context too, where an interrupt on the same CPU may count
        // in between.
        b.atomic_add(Size::dword, Reg::r9, offset, amount);
    }
}

// counters[index]: one packet more, and its bytes.  The index is on the stack.  Keeps r6-r9 but r9.
void count(Builder& b, HookRow const& hook, Shape const& shape) {
    Builder::Label const absent =
        b.label();  // the verifier wants the test; the entry always exists
    b.mov(Reg::r2, frame).alu(Alu::add, Reg::r2, counter_key);
    b.load_map(Reg::r1, counters_map).call(Helper::map_lookup_elem);
    b.jump(Cond::eq, Reg::r0, 0, absent);
    b.mov(Reg::r9, Reg::r0);
    b.mov(Reg::r1, 1);
    add_to(b, hook, 0, Reg::r1);
    emit_length(b, hook, shape, Reg::r1);
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
        b.store(Size::word, frame, counter_key, index);
        count(b, hook, options.shape);
    }
    if (two_ends) b.jump(Cond::eq, verdict, 0, no_match);
    act(b, options.match, verdict);
    if (two_ends) {
        b.bind(no_match);
        act(b, options.no_match, verdict);
    }
    b.bind(filter);
    functions.push_back({"classic", static_cast<std::uint32_t>(b.size())});
    return emit_function(b, program, hook, options.shape);
}

// The filter in line, its ends leading straight to the actions.  The verdict of a packet that does
// not match is in r0 from the start, if that register is not used, so that a reject is an exit.
Result<void> emit_deciding(Builder& b, cbpf::Program const& program, HookRow const& hook,
                           Options const& options) {
    Builder::Label const accept = b.label(), reject = b.label(), later = b.label();
    bool const constant = options.no_match.name->arg == Arg::none;
    bool preset = constant && hook.access == Access::pointer;
    auto const place = [&](bool falls, bool more) {
        if ((falls || b.is_used(accept)) && !b.is_bound(accept)) {
            b.bind(accept);
            bool const shares =
                b.is_used(reject) && !b.is_bound(reject) && options.match.name->arg == Arg::none;
            if (shares && preset) {
                b.mov32(Reg::r0, options.match.name->code).bind(reject).exit();
            } else if (shares && constant && !b.is_used(accept) && !more) {
                // One exit, which the JIT makes the epilogue.  What matches, on the one way that
                // leads here, jumps to it.
                Builder::Label const out = b.label();
                b.mov32(Reg::r0, options.match.name->code).jump(out);
                b.bind(reject).mov32(Reg::r0, options.no_match.name->code).bind(out).exit();
            } else {
                act(b, options.match, Reg::r0);
            }
        }
        if (b.is_used(reject) && !b.is_bound(reject)) {
            b.bind(reject);
            preset ? static_cast<void>(b.exit()) : act(b, options.no_match, Reg::r0);
        }
        b.from({});
        if (b.is_used(later) && !b.is_bound(later)) {
            b.bind(later);
            act(b, options.no_match, Reg::r0);
        }
    };
    auto const begin = [&](bool keeps_r0) {
        preset = preset && keeps_r0;
        if (preset) b.mov32(Reg::r0, options.no_match.name->code);
    };
    return emit_direct_form(b, program, hook, options.shape,
                            {.ends = {reject, later, accept, place}, .begin = begin});
}

// The same with counters in between.  The index of the counter lies on the stack: that of packets
// which do not match from the start.
Result<void> emit_counting(Builder& b, cbpf::Program const& program, HookRow const& hook,
                           Options const& options) {
    Builder::Label const accept = b.label(), counting = b.label();
    auto const set_index = [&](std::uint32_t index) {
        b.store(Size::word, frame, counter_key, static_cast<std::int32_t>(index));
    };
    auto const place = [&](bool falls, bool) {
        bool const accepts = (falls || b.is_used(accept)) && !b.is_bound(accept);
        if (accepts) {
            b.bind(accept);
            set_index(counter_matched);
            if (b.is_bound(counting)) b.jump(counting);
        }
        if (b.is_bound(counting) || !(accepts || b.is_used(counting))) return;
        b.from({}).bind(counting);
        count(b, hook, options.shape);
        if (options.match != options.no_match) {
            Builder::Label const no_match = b.label();
            b.load(Size::word, Reg::r1, frame, counter_key);
            b.jump(Cond::eq, Reg::r1, static_cast<std::int32_t>(counter_passed), no_match);
            act(b, options.match, Reg::r0);
            b.bind(no_match);
        }
        act(b, options.no_match, Reg::r0);
    };
    return emit_direct_form(b, program, hook, options.shape,
                            {.ends = {counting, counting, accept, place},
                             .begin = [&](bool) { set_index(counter_passed); },
                             .needs_context = true});
}

Result<ebpf::Program> finish(Builder& b, std::vector<ebpf::Function> functions, bool stats) {
    auto program = b.finish();
    if (!program) return program;
    program->functions = std::move(functions);
    if (stats) program->maps.push_back(counters_spec());
    return program;
}

}  // namespace

Result<ebpf::Program> translate_filter(cbpf::Program const& program, HookRow const& hook,
                                       Shape const& shape) {
    Builder b;
    if (auto done = emit_function(b, program, hook, shape); !done) return fail(done.error());
    return finish(b, {{"classic", 0}}, false);
}

Result<ebpf::Program> translate(cbpf::Program const& program, Options const& options) {
    HookRow const& hook = row(options.hook);
    Builder b;
    std::vector<ebpf::Function> functions{{options.name, 0}};
    Result<void> const done =
        returns_the_filters_value(hook, options) ? emit_function(b, program, hook, options.shape)
        : hook.access == Access::ld_abs ? emit_with_function(b, program, hook, options, functions)
        : options.stats                 ? emit_counting(b, program, hook, options)
                                        : emit_deciding(b, program, hook, options);
    if (!done) return fail(done.error());
    // Before jumps are laid out, which takes long; islands may make it more than that again.
    if (b.size() > ebpf::max_insns) return fail(too_long(b.size()));
    auto translated = finish(b, std::move(functions), options.stats);
    if (translated && translated->insns.size() > ebpf::max_insns)
        return fail(too_long(translated->insns.size()));
    return translated;
}

}  // namespace tamis::translator
