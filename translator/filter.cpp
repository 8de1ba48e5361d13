// Classic instructions to eBPF, one at a time, except for the packet: that is the Reader's.
#include "translator/filter.h"

#include "translator/operations.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Kind;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Reg;
using ebpf::Size;

class Emitter {
  public:
    Emitter(Builder& builder, cbpf::Program const& program, HookRow const& hook, Reader& reader,
            Ends const& ends)
        : b_(builder), program_(program), hook_(hook), reader_(reader), ends_(ends) {}

    Result<void> run() {
        mark_reachable();
        for (std::size_t i = 0; i < program_.insns.size(); ++i) labels_.push_back(b_.label());
        b_.from({});
        reader_.prologue();
        b_.mov32(A, 0).mov32(X, 0);
        for (pc_ = 0; pc_ < program_.insns.size(); ++pc_) {
            if (!reachable_[pc_]) continue;
            b_.bind(labels_[pc_]).from(origin());
            if (auto done = instruction(); !done) return done;
        }
        return {};
    }

  private:
    cbpf::Insn const& insn() const { return program_.insns[pc_]; }
    Span text() const { return program_.origin.empty() ? Span{} : program_.origin[pc_]; }
    ebpf::Origin origin() const { return {static_cast<std::uint32_t>(pc_), text()}; }

    // Classic programs may hold code that no path reaches; the verifier refuses it.
    void mark_reachable() {
        reachable_.assign(program_.insns.size(), false);
        reachable_[0] = true;
        for (std::size_t pc = 0; pc < program_.insns.size(); ++pc) {
            if (!reachable_[pc]) continue;
            cbpf::Insn const& at = program_.insns[pc];
            Kind const kind = cbpf::find(at.code)->kind;
            if (kind == Kind::ret || (reads_packet_at_k(kind, at.k) && reader_.always_fails(at.k)))
                continue;
            auto const [taken, fallen] = cbpf::targets(at, pc, kind);
            reachable_[taken] = reachable_[fallen] = true;
        }
    }

    static bool reads_packet_at_k(Kind kind, std::uint32_t k) {
        return kind == Kind::load_msh || (kind == Kind::load_abs && !cbpf::find_ancillary(k));
    }

    Result<void> instruction() {
        cbpf::Op const& op = *cbpf::find(insn().code);
        std::uint32_t const k = insn().k;
        bool const with_x = (op.reads & cbpf::X) != 0;
        Reg const dst = (op.writes & cbpf::X) != 0 ? X : A;
        switch (op.kind) {
            case Kind::load_imm:
                b_.mov32(dst, as_imm(k));
                break;
            case Kind::load_abs:
                if (cbpf::Ancillary const* anc = cbpf::find_ancillary(k)) {
                    if (!reader_.ancillary(anc->number))
                        return no_such_metadata(program_, pc_, hook_, *anc);
                } else {
                    reader_.packet(ebpf::size_of(op.arg), A, false, k);
                }
                break;
            case Kind::load_ind:
                reader_.packet(ebpf::size_of(op.arg), A, true, k);
                break;
            case Kind::load_mem:
                b_.load(Size::word, dst, frame, cell(k));
                break;
            case Kind::load_len:
                reader_.length(dst);
                break;
            case Kind::load_msh:
                reader_.packet(Size::byte, X, false, k);
                if (!reader_.always_fails(k)) b_.alu32(Alu::and_, X, 15).alu32(Alu::lsh, X, 2);
                break;
            case Kind::store:
                b_.store(Size::word, frame, cell(k), (op.reads & cbpf::X) != 0 ? X : A);
                break;
            case Kind::alu:
                alu(op.alu(), with_x, k);
                break;
            case Kind::neg:
                b_.neg32(A);
                break;
            case Kind::jump:
                b_.jump(labels_[cbpf::targets(insn(), pc_, op.kind).taken]);
                break;
            case Kind::branch:
                branch(op.cond(), with_x, k);
                break;
            case Kind::ret:
                ret(op.reads == cbpf::A, k);
                break;
            case Kind::copy:
                b_.mov(dst, dst == X ? A : X);
                break;
        }
        return {};
    }

    void alu(cbpf::Alu op, bool with_x, std::uint32_t k) {
        // Division by a zero X ends a classic program with 0; eBPF's own division would go on.
        if (with_x && (op == cbpf::Alu::div || op == cbpf::Alu::mod))
            b_.jump(Cond::eq, X, 0, ends_.reject);
        if (with_x)
            b_.alu32(alu_of(op), A, X);
        else
            b_.alu32(alu_of(op), A, as_imm(k));
    }

    void branch(cbpf::Cond cond, bool with_x, std::uint32_t k) {
        // 64-bit comparisons sign-extend their immediate, so constants from 2^31 on go through a
        // register.
        if (!with_x && as_imm(k) < 0) b_.mov32(Reg::r2, as_imm(k));
        Builder::Operand const operand = with_x          ? Builder::Operand(X)
                                         : as_imm(k) < 0 ? Builder::Operand(Reg::r2)
                                                         : Builder::Operand(as_imm(k));
        auto const [taken, fallen] = cbpf::targets(insn(), pc_, Kind::branch);
        std::optional<Cond> const inverted = inverse(cond);
        if (fallen == pc_ + 1) {
            b_.jump(cond_of(cond), A, operand, labels_[taken]);
        } else if (taken == pc_ + 1 && inverted) {
            b_.jump(*inverted, A, operand, labels_[fallen]);
        } else {
            b_.jump(cond_of(cond), A, operand, labels_[taken]).jump(labels_[fallen]);
        }
    }

    void ret(bool with_a, std::uint32_t k) {
        if (!ends_.accept) {
            if (!with_a) b_.mov32(A, as_imm(k));
            b_.exit();
        } else if (with_a) {
            b_.jump(Cond::ne, A, 0, *ends_.accept).jump(ends_.reject);
        } else {
            b_.jump(k != 0 ? *ends_.accept : ends_.reject);
        }
    }

    Builder& b_;
    cbpf::Program const& program_;
    HookRow const& hook_;
    Reader& reader_;
    Ends const& ends_;
    std::vector<bool> reachable_;
    std::vector<Builder::Label> labels_;
    std::size_t pc_ = 0;
};

}  // namespace

tl::unexpected<Diagnostic> no_such_metadata(cbpf::Program const& program, std::size_t pc,
                                            HookRow const& hook, cbpf::Ancillary const& anc) {
    std::optional<Span> const where =
        program.origin.empty() ? std::nullopt : std::optional(program.origin[pc]);
    std::string const at = where ? "" : " (instruction " + std::to_string(pc) + ")";
    return fail({"the metadata '" + std::string(anc.name) + "' cannot be read at hook " +
                     std::string(hook.name) + at,
                 where,
                 {{"a classic filter on a socket can read it", std::nullopt}}});
}

Result<void> emit_filter(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                         Reader& reader, Ends const& ends) {
    return Emitter(builder, program, hook, reader, ends).run();
}

}  // namespace tamis::translator
