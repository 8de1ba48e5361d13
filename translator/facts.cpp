#include "translator/facts.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "bpf/bytes.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using cbpf::Insn;
using cbpf::Kind;

Kind kind_of(Insn const& insn) { return cbpf::find(insn.code)->kind; }

bool is_packet_load(Insn const& insn) {
    switch (kind_of(insn)) {
        case Kind::load_abs:
            return !cbpf::find_ancillary(insn.k);
        case Kind::load_ind:
        case Kind::load_msh:
            return true;
        case Kind::load_imm:
        case Kind::load_mem:
        case Kind::load_len:
        case Kind::store:
        case Kind::alu:
        case Kind::neg:
        case Kind::jump:
        case Kind::branch:
        case Kind::ret:
        case Kind::copy:
            return false;
    }
    return false;
}

bool is_constant_load(Insn const& insn) {
    return is_packet_load(insn) && kind_of(insn) != Kind::load_ind;
}

std::uint32_t size_of(Insn const& insn) { return cbpf::find(insn.code)->arg; }

// The end of a load's bytes, counted from where its offset counts from.
std::uint64_t end_of(Insn const& insn) { return std::uint64_t{insn.k} + size_of(insn); }

// The instructions that may come next.
template <class Visit>
void for_each_next(Insn const& insn, std::size_t pc, HookRow const& hook, Visit const& visit) {
    Kind const kind = kind_of(insn);
    if (kind == Kind::ret || (is_constant_load(insn) && always_fails(hook, insn.k))) return;
    if (kind != Kind::jump && kind != Kind::branch) return visit(pc + 1);
    auto const [taken, fallen] = cbpf::targets(insn, pc, kind);
    visit(taken);
    if (fallen != taken) visit(fallen);
}

class Passes {
  public:
    Passes(cbpf::Program const& program, HookRow const& hook, Shape const& shape)
        : insns_(program.insns), hook_(hook), shape_(shape), facts_(insns_.size()) {}

    Knowledge run() {
        find_bounds();
        find_constants();
        find_needs();
        find_live();
        find_orders();
        find_checks();
        find_slow();
        find_pointer();
        return {std::move(facts_), x_is_pointer_};
    }

  private:
    // Reachability, and upper bounds of A and X.  The verifier must come to the same bounds by
    // itself, or it refuses the pointer data + X; so they are no better than the oldest kernel's
    // (kernel/bpf/verifier.c: a byte swap, a division and a word on the stack are anything).
    void find_bounds() {
        facts_[0].reached = true;
        facts_[0].most_a = facts_[0].most_x = 0;
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!facts_[pc].reached) continue;
            Bounds const after = bounds_after(pc);
            for_each_next(insns_[pc], pc, hook_, [&](std::size_t next) {
                Facts& f = facts_[next];
                f.most_a = f.reached ? std::max(f.most_a, after.a) : after.a;
                f.most_x = f.reached ? std::max(f.most_x, after.x) : after.x;
                f.reached = true;
            });
        }
    }

    struct Bounds {
        std::uint32_t a, x;
    };
    Bounds bounds_after(std::size_t pc) const {
        Insn const& insn = insns_[pc];
        std::uint32_t const a = facts_[pc].most_a, x = facts_[pc].most_x;
        cbpf::Op const& op = *cbpf::find(insn.code);
        bool const to_x = (op.writes & cbpf::X) != 0;
        auto const set = [&](std::uint32_t most) {
            return to_x ? Bounds{a, most} : Bounds{most, x};
        };
        switch (op.kind) {
            case Kind::load_imm:
                return set(insn.k);
            case Kind::load_abs:
            case Kind::load_ind:
                return set(op.arg == 1 && is_packet_load(insn) ? 0xff : Facts::any);
            case Kind::load_mem:
            case Kind::load_len:
                return set(Facts::any);
            case Kind::load_msh:
                return set(60);
            case Kind::alu:
                return set(bound_of(op.alu(), a, (op.reads & cbpf::X) != 0, x, insn.k));
            case Kind::neg:
                return set(Facts::any);
            case Kind::copy:
                return set(to_x ? a : x);
            case Kind::store:
            case Kind::jump:
            case Kind::branch:
            case Kind::ret:
                break;
        }
        return {a, x};
    }

    static std::uint32_t bound_of(cbpf::Alu op, std::uint32_t a, bool with_x, std::uint32_t x,
                                  std::uint32_t k) {
        auto const within = [](std::uint64_t most) {
            return most <= Facts::any ? static_cast<std::uint32_t>(most) : Facts::any;
        };
        if (op == cbpf::Alu::add) return within(std::uint64_t{a} + (with_x ? x : k));
        if (with_x) return Facts::any;
        if (op == cbpf::Alu::and_) return std::min(a, k);
        if (op == cbpf::Alu::rsh) return a >> k;
        if (op == cbpf::Alu::lsh) return within(std::uint64_t{a} << k);
        return Facts::any;
    }

    // A that is a constant is copied as one, and often nobody reads A itself any more.
    void find_constants() {
        std::vector<bool> seen(insns_.size());
        facts_[0].constant = 0;
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!facts_[pc].reached) continue;
            Insn const& insn = insns_[pc];
            std::optional<std::uint32_t> after = facts_[pc].constant;
            if ((writes(insn) & state_a) != 0) {
                after = std::nullopt;
                if (kind_of(insn) == Kind::load_imm) after = insn.k;
            }
            for_each_next(insn, pc, hook_, [&](std::size_t next) {
                std::optional<std::uint32_t>& there = facts_[next].constant;
                if (!seen[next] || there == after)
                    there = after;
                else
                    there = std::nullopt;
                seen[next] = true;
            });
        }
    }

    // What an instruction reads of the state as it is kept.
    std::uint32_t needs(std::size_t pc) const {
        bool const known = copies_a(insns_[pc]) && facts_[pc].constant;
        return reads(insns_[pc], hook_) & ~(known ? state_a : 0);
    }

    // What every accepting path from here reads.  A check for that much refuses no packet that
    // reading byte by byte would accept.
    void find_needs() {
        for (std::size_t pc = insns_.size(); pc-- > 0;) {
            Insn const& insn = insns_[pc];
            Facts& f = facts_[pc];
            if (kind_of(insn) == Kind::ret) {
                bool const rejects = cbpf::find(insn.code)->reads != cbpf::A && insn.k == 0;
                f.needed = f.needed_x = rejects ? Facts::never : 0;
                continue;
            }
            f.needed = f.needed_x = Facts::never;
            for_each_next(insn, pc, hook_, [&](std::size_t next) {
                f.needed = std::min(f.needed, facts_[next].needed);
                f.needed_x = std::min(f.needed_x, facts_[next].needed_x);
            });
            if (f.needed == Facts::never) continue;
            if ((writes(insn) & state_x) != 0) f.needed_x = 0;
            if (is_constant_load(insn) && end_of(insn) <= max_reach)
                f.needed = std::max(f.needed, static_cast<std::uint32_t>(end_of(insn)));
            if (keeps_pointer(insn, f))
                f.needed_x = std::max(f.needed_x, static_cast<std::uint32_t>(end_of(insn)));
        }
    }

    bool accepts(std::size_t pc) const { return facts_[pc].needed != Facts::never; }

    void find_live() {
        for (std::size_t pc = insns_.size(); pc-- > 0;) {
            if (!accepts(pc)) continue;
            Insn const& insn = insns_[pc];
            Facts& f = facts_[pc];
            for_each_next(insn, pc, hook_,
                          [&](std::size_t next) { f.live_out |= facts_[next].live; });
            std::uint32_t const written = writes(insn);
            bool const dead = written != 0 && (written & f.live_out) == 0;
            // Reading for nobody is no reading; where a load lies and what is divided by still
            // counts.
            bool const ends =
                is_packet_load(insn) || divides_by_x(insn) || ends_without_device(insn);
            f.live = (f.live_out & ~written) | (dead && !ends ? 0 : needs(pc));
        }
    }

    static bool ends_without_device(Insn const& insn) {
        cbpf::Ancillary const* anc =
            kind_of(insn) == Kind::load_abs ? cbpf::find_ancillary(insn.k) : nullptr;
        return anc && anc->number == Anc::ifindex;
    }

    static bool divides_by_x(Insn const& insn) {
        cbpf::Op const& op = *cbpf::find(insn.code);
        return op.kind == Kind::alu && (op.reads & cbpf::X) != 0 &&
               (op.alu() == cbpf::Alu::div || op.alu() == cbpf::Alu::mod);
    }

    // ---- Byte order.  A value that is only compared for equality or masked need not be swapped:
    // the constants are.  Definitions of A that meet share one order.

    void find_orders() {
        std::size_t const host = insns_.size();  // the group of everything that is a number
        group_.resize(host + 1);
        std::iota(group_.begin(), group_.end(), std::size_t{0});
        std::vector<std::size_t> defined_by(insns_.size(), host);
        std::vector<bool> defined(insns_.size());
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!facts_[pc].reached || !accepts(pc)) continue;
            std::size_t const after = definition_after(pc, defined_by[pc]);
            for_each_next(insns_[pc], pc, hook_, [&](std::size_t next) {
                if ((facts_[next].live & state_a) == 0) return;
                if (!defined[next])
                    defined_by[next] = after;
                else
                    unite(defined_by[next], after);
                defined[next] = true;
            });
        }
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (defined[pc]) facts_[pc].order = order_of(defined_by[pc]);
            facts_[pc].raw = is_wide_load(insns_[pc]) && order_of(pc) != Order::host;
        }
    }

    // The definition of A behind the instruction, given the one before it.
    std::size_t definition_after(std::size_t pc, std::size_t before) {
        Insn const& insn = insns_[pc];
        if (is_wide_load(insn)) return pc;
        if (keeps_order(insn, before)) return before;
        if ((needs(pc) & state_a) != 0) unite(before, insns_.size());
        return (writes(insn) & state_a) != 0 ? insns_.size() : before;
    }

    static bool is_wide_load(Insn const& insn) { return is_packet_load(insn) && size_of(insn) > 1; }

    bool keeps_order(Insn const& insn, std::size_t definition) {
        cbpf::Op const& op = *cbpf::find(insn.code);
        if ((op.reads & cbpf::X) != 0) return false;
        bool const fits = find(definition) != insns_.size() &&
                          (size_of(insns_[definition]) == 4 || insn.k <= 0xffff);
        if (op.kind == Kind::branch)
            return fits && (op.cond() == cbpf::Cond::eq || op.cond() == cbpf::Cond::set);
        return op.kind == Kind::alu && fits &&
               (op.alu() == cbpf::Alu::and_ || op.alu() == cbpf::Alu::or_ ||
                op.alu() == cbpf::Alu::xor_);
    }

    std::size_t find(std::size_t d) {
        while (group_[d] != d) d = group_[d] = group_[group_[d]];
        return d;
    }

    void unite(std::size_t a, std::size_t b) {
        std::size_t const host = insns_.size();
        a = find(a), b = find(b);
        if (a == b) return;
        if (a == host || b == host || size_of(insns_[a]) != size_of(insns_[b]))
            group_[a] = group_[b] = host;
        else
            group_[a] = b;
    }

    Order order_of(std::size_t definition) {
        std::size_t const d = find(definition);
        if (d == insns_.size()) return Order::host;
        return is_wide_load(insns_[d]) ? (size_of(insns_[d]) == 2 ? Order::net16 : Order::net32)
                                       : Order::host;
    }

    // ---- Bounds checks.  Each load checks what it needs that no path to it has checked, and with
    // it what every accepting path behind it needs.  Where paths meet, only what all of them know
    // holds, and a pointer is known only where all agree on it.

    void find_checks() {
        auto const arrive = [&](std::size_t pc, Checked const& checked) {
            Facts& f = facts_[pc];
            f.before = f.fast ? meet(f.before, checked) : checked;
            f.fast = true;
        };
        if (hook_.access != Access::pointer) {
            facts_[0].fast = facts_[0].enters_slow = true;
            return;
        }
        Checked start{.bytes = 0, .end = 0};
        set_index(start, facts_[0].live);
        if (accepts(0)) arrive(0, start);
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            Facts& f = facts_[pc];
            if (!f.fast) continue;
            bool checks = false;
            auto const after = checked_after(pc, checks);
            // A function without a context has nothing to call with.
            f.enters_slow =
                has_context(hook_) && (!after || (checks && !hook_.linear && !shape_.linear) ||
                                       is_far_index(insns_[pc], f));
            if (!after) continue;
            f.after = *after;
            for_each_next(insns_[pc], pc, hook_, [&](std::size_t next) {
                if (accepts(next)) arrive(next, *after);
            });
        }
    }

    static Checked meet(Checked const& a, Checked const& b) {
        return {.bytes = std::min(a.bytes, b.bytes),
                .end = a.end == b.end ? a.end : Checked::unknown,
                .indexed = a.indexed == b.indexed ? a.indexed : Checked::unknown,
                .indexed_bytes = std::min(a.indexed_bytes, b.indexed_bytes)};
    }

    // X has a new value, which is read where `live` says so.
    void set_index(Checked& checked, std::uint32_t live) const {
        checked.indexed = Checked::unknown;
        checked.indexed_bytes = 0;
        if (x_is_pointer_ && (live & state_x) != 0)
            checked.indexed = checked.end == Checked::unknown ? 0 : checked.end;
    }

    // Nothing where the instruction needs a call: only the slow version calls.
    std::optional<Checked> checked_after(std::size_t pc, bool& checks) const {
        Insn const& insn = insns_[pc];
        Facts const& f = facts_[pc];
        Checked checked = f.before;
        if (is_constant_load(insn)) {
            if (end_of(insn) > max_reach)
                return reaches_far(insn, hook_) ? std::optional(checked) : std::nullopt;
            checks = end_of(insn) > checked.bytes;
            if (checks) {
                checked.bytes = f.needed;
                checked.end = static_cast<std::int32_t>(f.needed);
            }
        } else if (is_packet_load(insn)) {
            if (shape_.no_perfmon) return std::nullopt;
            checks = true;
            if (keeps_pointer(insn, f)) {
                checks =
                    checked.indexed == Checked::unknown || checked.indexed_bytes < end_of(insn);
                if (checks) {
                    checked.indexed = static_cast<std::int32_t>(f.needed_x);
                    checked.indexed_bytes = f.needed_x;
                }
            }
        } else if (calls(insn)) {
            return std::nullopt;
        }
        if ((writes(insn) & state_x) != 0) set_index(checked, f.live_out);
        return checked;
    }

    static bool calls(Insn const& insn) {
        if (kind_of(insn) != Kind::load_abs) return false;
        cbpf::Ancillary const* anc = cbpf::find_ancillary(insn.k);
        return anc && (anc->number == Anc::cpu || anc->number == Anc::random);
    }

    // Its offset may be anything, so it may lie where only a call reaches.
    static bool is_far_index(Insn const& insn, Facts const& f) {
        return kind_of(insn) == Kind::load_ind && !keeps_pointer(insn, f);
    }

    void find_slow() {
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            Facts& f = facts_[pc];
            f.slow |= f.fast && f.enters_slow;
            if (!f.slow) continue;
            for_each_next(insns_[pc], pc, hook_, [&](std::size_t next) {
                if (accepts(next)) facts_[next].slow = true;
            });
        }
    }

    // ---- X as a pointer, where no call loads from an index.  A register less: without calls that
    // is one that the JIT need not save.

    void find_pointer() {
        if (hook_.access != Access::pointer || !is_index_only()) return;
        std::vector<Facts> const with_register = facts_;
        x_is_pointer_ = true;
        for (Facts& f : facts_) f.fast = f.enters_slow = false;
        find_checks();
        // Where different bases meet, X itself is needed.
        for (std::size_t pc = 0; pc < insns_.size(); ++pc)
            if (facts_[pc].fast && kind_of(insns_[pc]) == Kind::load_ind &&
                facts_[pc].before.indexed == Checked::unknown)
                x_is_pointer_ = false;
        if (!x_is_pointer_) facts_ = with_register;
    }

    bool is_index_only() const {
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            Facts const& f = facts_[pc];
            if (f.slow) return false;
            if (f.fast && (reads(insns_[pc], hook_) & state_x) != 0 &&
                !keeps_pointer(insns_[pc], f))
                return false;
        }
        return true;
    }

    std::vector<Insn> const& insns_;
    HookRow const& hook_;
    Shape const& shape_;
    std::vector<Facts> facts_;
    std::vector<std::size_t> group_;  // a forest over definitions of A
    bool x_is_pointer_ = false;
};

}  // namespace

std::uint32_t reads(Insn const& insn, HookRow const& hook) {
    cbpf::Op const& op = *cbpf::find(insn.code);
    std::uint32_t out = ((op.reads & cbpf::A) != 0 ? state_a : 0) |
                        ((op.reads & cbpf::X) != 0 ? state_x : 0) |
                        (op.kind == Kind::load_mem ? state_cell(insn.k) : 0);
    if (op.kind == Kind::load_abs)
        if (cbpf::Ancillary const* anc = cbpf::find_ancillary(insn.k)) {
            if (anc->number == Anc::alu_xor_x) out |= state_a | state_x;
            // A packet without a device ends the program with A.
            if (anc->number == Anc::ifindex && hook.context == "__sk_buff") out |= state_a;
        }
    return out;
}

std::uint32_t writes(Insn const& insn) {
    cbpf::Op const& op = *cbpf::find(insn.code);
    if (op.kind == Kind::store) return state_cell(insn.k);
    return ((op.writes & cbpf::A) != 0 ? state_a : 0) | ((op.writes & cbpf::X) != 0 ? state_x : 0);
}

bool copies_a(Insn const& insn) {
    Kind const kind = kind_of(insn);
    return (kind == Kind::copy || kind == Kind::store) && cbpf::find(insn.code)->reads == cbpf::A;
}

bool keeps_pointer(Insn const& insn, Facts const& facts) {
    return kind_of(insn) == Kind::load_ind && end_of(insn) <= max_reach &&
           facts.most_x + end_of(insn) <= max_pointer_reach;
}

bool reaches_far(Insn const& insn, HookRow const& hook) {
    return !has_context(hook) && hook.access == Access::pointer &&
           end_of(insn) <= max_pointer_reach;
}

bool always_fails(HookRow const& hook, std::uint32_t k) {
    // bpf_xdp_load_bytes ends at 65,535; a direct form knows no headers to count from.
    if (hook.access == Access::ld_abs) return false;
    return k > (hook.context == "xdp_md" ? 0xffff : 0x7fffffff);
}

std::uint32_t in_order(Order order, std::uint32_t k) {
    switch (order) {
        case Order::host:
            return k;
        case Order::net16:
            return reversed(k, 2);
        case Order::net32:
            return reversed(k, 4);
    }
    return k;
}

Knowledge find_facts(cbpf::Program const& program, HookRow const& hook, Shape const& shape) {
    return Passes(program, hook, shape).run();
}

}  // namespace tamis::translator
