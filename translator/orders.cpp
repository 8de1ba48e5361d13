// Byte order.  A value that is only compared for equality or masked need not be swapped: the
// constants are.  Definitions of A that meet share one order.
#include <numeric>
#include <optional>

#include "bpf/bytes.h"
#include "translator/pass.h"

namespace tamis::translator {
namespace {

class Orders : Pass {
  public:
    using Pass::Pass;

    void run() {
        std::size_t const host = insns_.size();  // the group of everything that is a number
        group_.resize(host + 1);
        std::iota(group_.begin(), group_.end(), std::size_t{0});
        std::vector<std::size_t> defined_by(insns_.size(), host);
        std::vector<bool> defined(insns_.size());
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!facts_[pc].reached || !accepts(pc)) continue;
            std::size_t const after = definition_after(pc, defined_by[pc]);
            for_each_next(pc, [&](std::size_t next) {
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

  private:
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

    std::vector<std::size_t> group_;  // a forest over definitions of A
};

}  // namespace

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

void find_orders(Subject const& subject, Knowledge& known) { Orders(subject, known).run(); }

}  // namespace tamis::translator
