#include "translator/networks.h"

#include <optional>

namespace tamis::translator {
namespace {

using cbpf::Insn;
using cbpf::Kind;

constexpr std::uint16_t and_k = 0x54, jeq_k = 0x15;

class Networks {
  public:
    explicit Networks(std::vector<Insn>& insns)
        : insns_(insns), a_is_read_(insns.size()), ways_(insns.size()) {}

    void run() {
        for (std::size_t pc = insns_.size(); pc-- > 0;) look_at(pc);
        for (std::size_t pc = 1; pc + 1 < insns_.size(); ++pc)
            if (is_network(pc)) replace(pc);
    }

  private:
    static cbpf::Op const& op_of(Insn const& insn) { return *cbpf::find(insn.code); }

    // Whether somebody reads the A that an instruction finds, and how many lead to the next ones.
    void look_at(std::size_t pc) {
        cbpf::Op const& op = op_of(insns_[pc]);
        bool const metadata = op.kind == Kind::load_abs && cbpf::find_ancillary(insns_[pc].k);
        bool behind = false;
        if (op.kind != Kind::ret) {
            auto const [taken, fallen] = cbpf::targets(insns_[pc], pc, op.kind);
            behind = a_is_read_[taken] || a_is_read_[fallen];
            ++ways_[taken];
            if (fallen != taken) ++ways_[fallen];
        }
        // Metadata may end the program with A.
        a_is_read_[pc] =
            (op.reads & cbpf::A) != 0 || metadata || ((op.writes & cbpf::A) == 0 && behind);
    }

    // The least value for which a comparison with a number by size holds.
    std::optional<std::uint64_t> least(std::size_t pc) const {
        cbpf::Op const& op = op_of(insns_[pc]);
        if (op.kind != Kind::branch || (op.reads & cbpf::X) != 0) return std::nullopt;
        if (op.cond() == cbpf::Cond::ge) return insns_[pc].k;
        if (op.cond() == cbpf::Cond::gt) return std::uint64_t{insns_[pc].k} + 1;
        return std::nullopt;
    }

    bool is_network(std::size_t pc) const {
        cbpf::Op const& load = op_of(insns_[pc - 1]);
        bool const loaded = (load.kind == Kind::load_abs || load.kind == Kind::load_ind) &&
                            load.arg > 1 && !cbpf::find_ancillary(insns_[pc - 1].k);
        if (!loaded || ways_[pc] != 1 || ways_[pc + 1] != 1) return false;
        auto const low = least(pc), high = least(pc + 1);
        if (!low || !high || *low >= *high) return false;
        std::uint64_t const size = *high - *low;
        auto const first = cbpf::targets(insns_[pc], pc, Kind::branch);
        auto const second = cbpf::targets(insns_[pc + 1], pc + 1, Kind::branch);
        return (size & (size - 1)) == 0 && *low % size == 0 && first.taken == pc + 1 &&
               first.fallen == second.taken && !a_is_read_[second.taken] &&
               !a_is_read_[second.fallen];
    }

    void replace(std::size_t pc) {
        auto const low = static_cast<std::uint32_t>(*least(pc));
        auto const size = static_cast<std::uint32_t>(*least(pc + 1) - low);
        Insn const second = insns_[pc + 1];
        insns_[pc] = {and_k, 0, 0, ~(size - 1)};
        insns_[pc + 1] = {jeq_k, second.jf, second.jt, low};
    }

    std::vector<Insn>& insns_;
    std::vector<bool> a_is_read_;
    std::vector<unsigned> ways_;  // that lead to an instruction
};

}  // namespace

void mask_networks(cbpf::Program& program) { Networks(program.insns).run(); }

}  // namespace tamis::translator
