#include "verify/loaded_form.h"

#include <algorithm>
#include <cerrno>

#include <bpf/bpf.h>

#include "backend/object.h"
#include "bpf/bytes.h"
#include "translator/translate.h"
#include "verify/random_cbpf.h"

namespace tamis::verify {
namespace {

using ebpf::Insn;
using ebpf::make_insn;
using runtime::DatagramPair;
using translator::KernelModel;
using translator::Symbol;

// ---- What the verifier rewrites (kernel/bpf/verifier.c, bpf_convert_ctx_access and bpf_gen_ld_abs
// in net/core/filter.c)

// Fields of __sk_buff (linux/bpf.h) that are one field of the sk_buff.
struct Field {
    std::int16_t context;
    Symbol symbol;
    std::uint8_t load;
};
constexpr std::uint8_t load_byte = 0x71, load_half = 0x69, load_word = 0x61, load_dword = 0x79;
constexpr Field fields[] = {
    {0, Symbol::len, load_word},
    {8, Symbol::mark, load_word},
    {12, Symbol::queue_mapping, load_half},
    {16, Symbol::protocol, load_half},
    {24, Symbol::vlan_tci, load_half},
    {28, Symbol::vlan_proto, load_half},
    {68, Symbol::hash, load_word},
};
constexpr std::int16_t pkt_type = 4, vlan_present = 20, ifindex = 40;
constexpr std::int32_t random_helper = 7;

class Rewriter {
  public:
    Rewriter(ebpf::Program const& form, KernelLayout const& layout)
        : form_(form), layout_(layout) {}

    std::optional<std::vector<Insn>> run() {
        std::vector<std::size_t> address;
        std::vector<std::pair<std::size_t, std::size_t>> jumps;  // new index, old target
        for (std::size_t i = 0; i < form_.insns.size(); ++i) {
            address.push_back(out_.size());
            if (removed(form_.insns[i])) continue;
            rewrite(form_.insns[i]);
            if (is_jump(form_.insns[i])) jumps.emplace_back(out_.size() - 1, target(i));
        }
        if (!known_) return std::nullopt;
        for (auto const& [index, to] : jumps)
            out_[index].off = static_cast<std::int16_t>(address[to] - index - 1);
        return std::move(out_);
    }

  private:
    static bool is_jump(Insn const& insn) {
        auto const cls = ebpf::class_of(insn);
        return (cls == ebpf::Class::jmp || cls == ebpf::Class::jmp32) && insn.code != 0x85 &&
               insn.code != 0x95;
    }
    std::size_t target(std::size_t i) const { return ebpf::ways(form_.insns[i], i).to[0]; }

    // `goto +0` goes away; one that becomes such thereby stays (opt_remove_nops).
    static bool removed(Insn const& insn) { return insn.code == 0x05 && insn.off == 0; }

    void put(Insn insn) { out_.push_back(insn); }

    std::int32_t number(std::optional<std::int32_t> value) {
        known_ = known_ && value;
        return value.value_or(0);
    }
    std::int32_t number(Symbol symbol) { return number(layout_.symbols[symbol]); }

    void rewrite(Insn const& insn) {
        auto const mode = ebpf::mode_of(insn);
        bool const packet_load = ebpf::class_of(insn) == ebpf::Class::ld &&
                                 (mode == ebpf::Mode::abs || mode == ebpf::Mode::ind);
        if (packet_load)
            packet(insn, mode == ebpf::Mode::ind);
        else if (ebpf::class_of(insn) == ebpf::Class::ldx && insn.src == 6)
            context(insn);
        else if (insn.code == 0x3c || insn.code == 0x9c)
            division(insn);
        else if (insn.code == 0x85)
            call(insn);
        else
            put(insn);
    }

    void packet(Insn const& insn, bool indexed) {
        if (indexed) {
            put(make_insn(0xbf, 2, insn.src));
            if (insn.imm != 0) put(make_insn(0x07, 2, 0, 0, insn.imm));
        } else {
            put(make_insn(0xb7, 2, 0, 0, insn.imm));
        }
        unsigned const size = ebpf::bytes(ebpf::size_of(insn));
        auto const& f = layout_.uncached;
        put(make_insn(0xbf, 1, 6));
        put(make_insn(0x85, 0, 0, 0,
                      number(size == 1   ? f.load_8
                             : size == 2 ? f.load_16
                                         : f.load_32)));
        put(make_insn(0x75, 0, 0, 2));
        put(make_insn(0xac, 0, 0));
        put(make_insn(0x95));
    }

    void context(Insn const& insn) {
        auto const load = [&](std::uint8_t code, unsigned base, Symbol symbol) {
            put(make_insn(code, insn.dst, base, number(symbol)));
        };
        auto const* field = std::find_if(std::begin(fields), std::end(fields),
                                         [&](Field const& f) { return f.context == insn.off; });
        if (field != std::end(fields)) {
            load(field->load, insn.src, field->symbol);
        } else if (insn.off == pkt_type) {
            bool const big = layout_.model.big_endian;
            load(load_byte, insn.src, Symbol::pkt_type);
            put(make_insn(0x54, insn.dst, 0, 0, big ? 7 << 5 : 7));
            if (big) put(make_insn(0x74, insn.dst, 0, 0, 5));
        } else if (insn.off == vlan_present &&
                   layout_.model.vlan_present == KernelModel::VlanPresent::word) {
            load(load_word, insn.src, Symbol::vlan_all);
            put(make_insn(0x15, insn.dst, 0, 1));
            put(make_insn(0xb4, insn.dst, 0, 0, 1));
        } else if (insn.off == vlan_present) {
            load(load_byte, insn.src, Symbol::vlan_present);
            if (layout_.model.vlan_present_bit != 0)
                put(make_insn(0x74, insn.dst, 0, 0, layout_.model.vlan_present_bit));
            put(make_insn(0x54, insn.dst, 0, 0, 1));
        } else if (insn.off == ifindex) {
            load(load_dword, insn.src, Symbol::dev);
            put(make_insn(0x15, insn.dst, 0, 1));
            load(load_word, insn.dst, Symbol::ifindex);
        } else {
            known_ = false;
        }
    }

    void division(Insn const& insn) {
        if (insn.code == 0x3c) {
            put(make_insn(0x56, insn.src, 0, 2));
            put(make_insn(0xac, insn.dst, insn.dst));
            put(make_insn(0x05, 0, 0, 1));
            put(insn);
        } else {
            put(make_insn(0x16, insn.src, 0, 2));
            put(insn);
            put(make_insn(0x05, 0, 0, 1));
            put(make_insn(0xbc, insn.dst, insn.dst));
        }
    }

    void call(Insn const& insn) {
        if (insn.imm == random_helper)
            put(make_insn(0x85, 0, 0, 0, number(Symbol::random)));
        else
            known_ = false;  // the CPU's number: a call, or code that reads it
    }

    ebpf::Program const& form_;
    KernelLayout const& layout_;
    std::vector<Insn> out_;
    bool known_ = true;
};

// A condition that the verifier knows the answer to becomes a jump to where it always leads.
bool same_or_decided(Insn const& predicted, Insn const& real) {
    auto const cls = ebpf::class_of(predicted);
    bool const condition = (cls == ebpf::Class::jmp || cls == ebpf::Class::jmp32) &&
                           ebpf::find_jump(predicted.code) != nullptr;
    return predicted == real || (condition && real == make_insn(0x05, 0, 0, predicted.off));
}

Result<std::vector<Insn>> dump(int program) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &size) != 0)
        return fail(system_error("cannot ask the kernel about the program", errno));
    std::vector<Insn> insns(info.xlated_prog_len / sizeof(Insn));
    bpf_prog_info wanted{};
    wanted.xlated_prog_insns = reinterpret_cast<std::uintptr_t>(insns.data());
    wanted.xlated_prog_len = info.xlated_prog_len;
    if (bpf_obj_get_info_by_fd(program, &wanted, &size) != 0)
        return fail(system_error("cannot read the loaded program", errno));
    return insns;
}

// ---- Packets that get somewhere

// Random bytes, into which constants that the program compares with are written where it looks for
// them.  An index register is taken for the length of an IPv4 header without options.
std::vector<std::uint8_t> packet_for(cbpf::Program const& program, RandomPrograms& random) {
    std::vector<std::uint8_t> bytes = random.packet(1 + random.below(128));
    std::uint64_t at = 0;
    unsigned size = 0;
    auto const write = [&](std::uint64_t where, unsigned width, std::uint32_t value) {
        if (where + width <= bytes.size() && !random.one_in(4))
            store_be(bytes, where, width, value);
    };
    for (cbpf::Insn const& insn : program.insns) {
        cbpf::Op const& op = *cbpf::find(insn.code);
        if (op.kind == cbpf::Kind::load_abs || op.kind == cbpf::Kind::load_ind) {
            at = insn.k + (op.kind == cbpf::Kind::load_ind ? 20U : 0U);
            size = op.arg;
        } else if (op.kind == cbpf::Kind::load_msh) {
            write(insn.k, 1, 0x45);
        } else if (op.kind == cbpf::Kind::branch && size != 0) {
            write(at, size, insn.k);
        }
    }
    return bytes;
}

Result<void> compare_verdicts(cbpf::Program const& program, runtime::LoadedProgram const& loaded,
                              std::uint64_t seed, std::size_t packets, LoadedForm& out) {
    auto classic = DatagramPair::open(), extended = DatagramPair::open();
    if (!classic) return fail(classic.error());
    if (!extended) return fail(extended.error());
    if (auto done = runtime::attach_classic(classic->receiver(), program.insns); !done) return done;
    if (auto done = runtime::attach_ebpf(extended->receiver(), loaded); !done) return done;
    RandomPrograms random(seed);
    for (; out.packets < packets; ++out.packets) {
        std::vector<std::uint8_t> bytes = packet_for(program, random);
        auto const left = classic->send(bytes), right = extended->send(bytes);
        if (!left) return fail(left.error());
        if (!right) return fail(right.error());
        if (*left) ++out.accepted;
        if (*left == *right) continue;
        out.differing = LoadedForm::Verdicts{std::move(bytes), *left, *right};
        return {};
    }
    return {};
}

bool reads_random(cbpf::Program const& program) {
    return std::any_of(program.insns.begin(), program.insns.end(), [](cbpf::Insn const& insn) {
        cbpf::Ancillary const* const found = cbpf::find_ancillary(insn.k);
        return cbpf::find(insn.code)->kind == cbpf::Kind::load_abs && found &&
               (found->number == cbpf::Anc::random || found->number == cbpf::Anc::cpu);
    });
}

}  // namespace

std::optional<std::vector<Insn>> predict_xlated(ebpf::Program const& form,
                                                KernelLayout const& layout) {
    return Rewriter(form, layout).run();
}

Result<std::optional<LoadedForm>> compare_loaded(cbpf::Program const& program,
                                                 KernelLayout const& layout, std::uint64_t seed,
                                                 std::size_t packets) {
    HookRow const& hook = row(Hook::socket);
    auto const form = translator::translate_filter(program, hook);
    if (!form) return std::nullopt;
    auto const object = backend::object(*form, hook);
    if (!object) return fail(object.error());
    auto const loaded = runtime::LoadedProgram::load(*object, hook);
    if (!loaded) return fail(loaded.error());
    auto xlated = dump(loaded->fd());
    if (!xlated) return fail(xlated.error());

    LoadedForm out;
    out.insns = form->insns.size();
    out.xlated = std::move(*xlated);
    out.predicted = predict_xlated(*form, layout);
    if (out.predicted && !out.shortened()) {
        auto const [ours, theirs] =
            std::mismatch(out.predicted->begin(), out.predicted->end(), out.xlated.begin(),
                          out.xlated.end(), same_or_decided);
        if (ours != out.predicted->end() || theirs != out.xlated.end())
            out.difference = static_cast<std::size_t>(ours - out.predicted->begin());
    }
    if (!reads_random(program))
        if (auto done = compare_verdicts(program, *loaded, seed, packets, out); !done)
            return fail(done.error());
    return out;
}

}  // namespace tamis::verify
