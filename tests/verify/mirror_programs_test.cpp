// The random programs reach everything that a translation can depend on.
#include "verify/mirror_programs.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "translator/kernel_form.h"

namespace tamis::verify {
namespace {

constexpr std::size_t count = 20000;

TEST(MirrorPrograms, ReachEverything) {
    MirrorPrograms source(1);
    std::set<std::uint16_t> opcodes;
    std::set<cbpf::Anc> ancillaries;
    std::map<std::string, std::size_t> seen;
    std::size_t shortest = ~std::size_t{0}, longest = 0, total = 0;
    for (std::size_t i = 0; i < count; ++i) {
        cbpf::Program const program = source.next();
        shortest = std::min(shortest, program.insns.size());
        longest = std::max(longest, program.insns.size());
        total += program.insns.size();
        translator::KernelModel model;
        model.optmem_max = 131072;
        auto const form = translator::kernel_form(program, model);
        if (!form) {
            std::string const rule = form.error().rule;
            if (form.error().error == ENOMEM) ++seen["optmem_max"];
            if (rule.find("puts a jump at") != rule.npos) ++seen["jump too far behind"];
            if (rule.find("jumps over") != rule.npos) ++seen["jump too long"];
            if (rule.find("opcode") != rule.npos) ++seen["no opcode"];
            if (rule.find("past the last") != rule.npos) ++seen["jump out of the program"];
            if (rule.find("M[") == 0) ++seen["unwritten cell"];
            if (rule.find("last instruction") != rule.npos) ++seen["no ret"];
            if (rule.find("constant 0") != rule.npos) ++seen["division by 0"];
            if (rule.find("ancillary") != rule.npos) ++seen["no ancillary"];
            continue;
        }
        for (cbpf::Insn const& insn : program.insns) {
            cbpf::Op const& op = *cbpf::find(insn.code);
            opcodes.insert(insn.code);
            cbpf::Ancillary const* const found = cbpf::find_ancillary(insn.k);
            if (op.kind == cbpf::Kind::load_abs && found) ancillaries.insert(found->number);
            if (op.kind == cbpf::Kind::load_abs && insn.k >= 0x80000000 && !found)
                ++seen["negative offset"];
            if (op.kind == cbpf::Kind::load_abs && insn.k > 32767 && insn.k < 0x80000000)
                ++seen["far offset"];
            if (op.kind == cbpf::Kind::ret && insn.jt != 0) ++seen["junk jt"];
            if (op.kind == cbpf::Kind::neg && insn.k != 0) ++seen["junk k"];
            if (op.kind != cbpf::Kind::branch) continue;
            if (insn.jf == 0) ++seen["rule a"];
            if (insn.jf != 0 && insn.jt == 0) ++seen["rule b"];
            if (insn.jf != 0 && insn.jt != 0) ++seen["rule c"];
            if (insn.jt == 255 || insn.jf == 255) ++seen["long jump"];
            if (!(op.reads & cbpf::X) && insn.k >= 0x80000000) ++seen["negative constant"];
        }
    }
    EXPECT_EQ(shortest, 1U);
    EXPECT_EQ(longest, cbpf::max_socket_insns);
    EXPECT_GE(total / count, 40U);
    EXPECT_EQ(opcodes.size(), cbpf::ops().size());
    EXPECT_EQ(ancillaries.size(), cbpf::ancillaries().size());
    for (char const* what : {"optmem_max", "jump too far behind", "jump too long", "no opcode",
                             "jump out of the program", "unwritten cell", "no ret", "division by 0",
                             "no ancillary", "negative offset", "far offset", "junk jt", "junk k",
                             "rule a", "rule b", "rule c", "long jump", "negative constant"})
        EXPECT_GT(seen[what], 0U) << what;
}

TEST(MirrorPrograms, AreTheSameForTheSameSeed) {
    MirrorPrograms one(5), two(5), other(6);
    bool differs = false;
    for (int i = 0; i < 50; ++i) {
        cbpf::Program const program = one.next();
        EXPECT_EQ(program.insns, two.next().insns);
        differs = differs || program.insns != other.next().insns;
    }
    EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace tamis::verify
