// Filters that other programs run: inside of their code, or as a function that they call.
#include "translator/body.h"

#include <algorithm>
#include <cassert>

#include "translator/filter.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using ebpf::Reg;

// What to emit where a filter ends with 1 or 0 in a register.
using End = std::function<void(std::int32_t value)>;

Result<void> emit_with_ends(Builder& b, cbpf::Program const& program, HookRow const& hook,
                            Shape const& shape, std::optional<BodyRegisters> const& registers,
                            End const& end) {
    Builder::Label const accept = b.label(), reject = b.label();
    auto const place = [&](bool falls, bool) {
        if ((falls || b.is_used(accept)) && !b.is_bound(accept)) {
            b.bind(accept);
            end(1);
        }
        if (b.is_used(reject) && !b.is_bound(reject)) {
            b.from({}).bind(reject);
            end(0);
        }
    };
    Ends const ends{reject, reject, accept, place};
    if (hook.access != Access::ld_abs)
        return emit_direct_form(b, program, hook, shape, {.ends = ends, .registers = registers});
    auto done = emit_socket_form(b, program, hook, ends);
    if (done) place(false, false);
    return done;
}

bool is_kept_by_calls(Reg r) { return r >= Reg::r6 && r <= Reg::r9; }

[[maybe_unused]] bool fulfils_contract(BodyRegisters const& r, Access access) {
    std::vector<Reg> all{r.data, r.data_end, r.result};
    all.insert(all.end(), r.scratch.begin(), r.scratch.end());
    if (access == Access::probe) {
        all.resize(4);
        if (!std::all_of(all.begin(), all.end(), is_kept_by_calls)) return false;
    }
    std::sort(all.begin(), all.end());
    return std::adjacent_find(all.begin(), all.end()) == all.end() && all.back() != frame &&
           r.stack >= 0 && r.stack % 8 == 0;
}

// The first registers that are none of the arguments.
BodyRegisters around(Parameters const& p) {
    BodyRegisters out{.data = p.first, .data_end = p.second, .result = Reg::r0};
    auto next = out.scratch.begin();
    for (Reg const r : {Reg::r1, Reg::r2, Reg::r3, Reg::r4, Reg::r5, Reg::r6})
        if (r != p.first && r != p.second && next != out.scratch.end()) *next++ = r;
    return out;
}

constexpr BodyRegisters probing{.data = Reg::r6,
                                .data_end = Reg::r7,
                                .result = Reg::r8,
                                .scratch = {Reg::r9, Reg::r3, Reg::r4, Reg::r5}};

}  // namespace

Result<void> emit_body(Builder& b, cbpf::Program const& program, HookRow const& hook,
                       Shape const& shape, BodyRegisters const& registers, Builder::Label match,
                       Builder::Label no_match) {
    bool const own = has_context(hook);
    assert(own || fulfils_contract(registers, hook.access));
    Reg const result = own ? Reg::r0 : registers.result;
    auto const end = [&](std::int32_t value) {
        b.mov32(result, value).jump(value != 0 ? match : no_match);
    };
    return emit_with_ends(b, program, hook, shape, own ? std::nullopt : std::optional(registers),
                          end);
}

Result<ebpf::Program> translate_predicate(cbpf::Program const& program, HookRow const& hook,
                                          Shape const& shape, std::string name,
                                          Parameters const& parameters) {
    Builder b;
    std::optional<BodyRegisters> registers;
    if (has_context(hook)) {
        if (parameters.first != Reg::r1) b.mov(Reg::r1, parameters.first);
    } else if (hook.access == Access::probe) {
        registers = probing;
        b.mov(probing.data, parameters.first).mov(probing.data_end, parameters.second);
    } else {
        registers = around(parameters);
    }
    auto const end = [&](std::int32_t value) { b.mov32(Reg::r0, value).exit(); };
    if (auto done = emit_with_ends(b, program, hook, shape, registers, end); !done)
        return fail(done.error());
    auto out = b.finish();
    if (out) out->functions = {{std::move(name), 0}};
    return out;
}

}  // namespace tamis::translator
