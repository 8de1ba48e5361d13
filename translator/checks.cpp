// Bounds checks.  Each load checks what it needs that no path to it has checked, and with it what
// every accepting path behind it needs.  Where paths meet, only what all of them know holds, and a
// pointer is known only where all agree on it.
#include <algorithm>
#include <optional>

#include "translator/pass.h"

namespace tamis::translator {
namespace {

class Checks : Pass {
  public:
    using Pass::Pass;

    void run() {
        find_checks();
        find_slow(subject_, known_);
        find_pointer();
    }

  private:
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
                has_context(hook_) && (!after || (!only_pointers(hook_, shape_) &&
                                                  (checks || is_far_index(insns_[pc], f))));
            if (!after) continue;
            f.after = *after;
            for_each_next(pc, [&](std::size_t next) {
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
        if (known_.x_is_pointer && (live & state_x) != 0)
            checked.indexed = checked.end == Checked::unknown ? 0 : checked.end;
    }

    // Nothing where the instruction needs a call: only the slow version calls.
    std::optional<Checked> checked_after(std::size_t pc, bool& checks) const {
        Insn const& insn = insns_[pc];
        Facts const& f = facts_[pc];
        Checked checked = f.before;
        if (is_constant_load(insn)) {
            if (end_of(insn) > max_reach)
                return only_pointers(hook_, shape_) ? std::optional(checked) : std::nullopt;
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

    // ---- X as a pointer, where no call loads from an index.  A register less: without calls that
    // is one that the JIT need not save.

    void find_pointer() {
        if (hook_.access != Access::pointer || !is_index_only()) return;
        std::vector<Facts> const with_register = facts_;
        known_.x_is_pointer = true;
        for (Facts& f : facts_) f.fast = f.enters_slow = false;
        find_checks();
        // Where different bases meet, X itself is needed.
        for (std::size_t pc = 0; pc < insns_.size(); ++pc)
            if (facts_[pc].fast && kind_of(insns_[pc]) == Kind::load_ind &&
                facts_[pc].before.indexed == Checked::unknown)
                known_.x_is_pointer = false;
        if (!known_.x_is_pointer) facts_ = with_register;
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
};

}  // namespace

void find_checks(Subject const& subject, Knowledge& known) { Checks(subject, known).run(); }

}  // namespace tamis::translator
