#include "verify/mirror_programs.h"

#include <algorithm>
#include <iterator>

namespace tamis::verify {
namespace {

using cbpf::Insn;

RandomPrograms::Options everything() {
    RandomPrograms::Options options;
    options.junk_fields = true;
    options.header_offsets = true;
    options.packet_length = 256;
    for (cbpf::Ancillary const& a : cbpf::ancillaries()) options.ancillaries.push_back(a.number);
    return options;
}

}  // namespace

MirrorPrograms::MirrorPrograms(std::uint64_t seed) : random_(seed, everything()) {}

// Mostly short, now and then as long as programs get; a length doubles or halves equally often
// there.
std::size_t MirrorPrograms::length() {
    if (random_.one_in(1000)) return cbpf::max_socket_insns;
    if (random_.one_in(50)) {
        std::size_t most = 512;
        while (most < cbpf::max_socket_insns && random_.one_in(2)) most *= 2;
        return most / 2 + random_.below(most / 2) + 1;
    }
    return 1 + random_.below(random_.one_in(5) ? 250 : 80);
}

cbpf::Program MirrorPrograms::next() {
    cbpf::Program program = random_.one_in(200) ? over_loads() : random_.program(length());
    if (random_.one_in(8)) spoil(program);
    return program;
}

// A jump over many packet loads, which take up to 17 instructions each in translation: the only way
// to the limits of 16-bit jumps and of the socket's memory.  Where the loads end a program of its
// own begins, with no cell written.
cbpf::Program MirrorPrograms::over_loads() {
    constexpr std::uint16_t ja = 0x05, jeq = 0x15, loads[] = {0x20, 0x28, 0x30, 0x40, 0x48, 0xb1};
    cbpf::Program const tail = random_.program(random_.one_in(2) ? 1 : 1 + random_.below(100));
    std::size_t const most =
        (random_.one_in(2) ? 1200 : cbpf::max_socket_insns) - tail.insns.size() - 2;
    auto const count = static_cast<std::uint32_t>(1 + random_.below(most));
    cbpf::Program program;
    if (random_.one_in(2))
        program.insns.push_back({ja, 0, 0, count});
    else
        program.insns.push_back({jeq, static_cast<std::uint8_t>(std::min(count, 255U)),
                                 static_cast<std::uint8_t>(std::min(count, 254U)), 7});
    for (std::uint32_t i = 0; i < count; ++i)
        program.insns.push_back({loads[random_.below(std::size(loads))], 0, 0,
                                 static_cast<std::uint32_t>(random_.below(0x10000))});
    program.insns.insert(program.insns.end(), tail.insns.begin(), tail.insns.end());
    return program;
}

// One field of one instruction becomes anything, or the program's end is cut off.
void MirrorPrograms::spoil(cbpf::Program& program) {
    Insn& insn = program.insns[random_.below(program.insns.size())];
    switch (random_.below(5)) {
        case 0:
            insn.code = cbpf::ops()[random_.below(cbpf::ops().size())].code;
            break;
        case 1:
            insn.code = static_cast<std::uint16_t>(random_.below(random_.one_in(4) ? 65536 : 256));
            break;
        case 2:
            insn.k = random_.one_in(2)
                         ? random_.constant()
                         : cbpf::ancillary_base + static_cast<std::uint32_t>(random_.below(80));
            break;
        case 3:
            (random_.one_in(2) ? insn.jt : insn.jf) = static_cast<std::uint8_t>(random_.below(256));
            break;
        case 4:
            if (program.insns.size() > 1) program.insns.pop_back();
            break;
    }
}

}  // namespace tamis::verify
