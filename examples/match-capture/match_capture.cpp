// Prints the number and the length of every packet of a capture file that an expression matches.
//
//     match_capture FILE EXPR
#include <cstdio>

#include "frontend/compile.h"
#include "runtime/capture_file.h"
#include "runtime/cbpf_vm.h"

using namespace tamis;

namespace {

int complain(Diagnostic const& diagnostic, Source const& source) {
    std::fputs(render(diagnostic, source).c_str(), stderr);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: match_capture FILE EXPR\n", stderr);
        return 2;
    }
    Source const filter{"filter", argv[2]};

    auto reader = runtime::CaptureReader::open(argv[1]);
    if (!reader) return complain(reader.error(), {argv[1], ""});

    // The file says what its packets begin with; the compiler has to know.
    auto const compiled = frontend::compile(filter.text, {.link_type = reader->link_type(),
                                                          .context = frontend::Context::savefile,
                                                          .netmask = std::nullopt});
    if (!compiled) return complain(compiled.error(), filter);

    for (unsigned number = 1;; ++number) {
        auto const record = reader->next();
        if (!record) return complain(record.error(), reader->where());
        if (!*record) return 0;
        // A pcapng file can have interfaces of several types; tamis match compiles for each.
        if ((*record)->link_type != reader->link_type()) continue;
        runtime::Packet const packet{.bytes = (*record)->bytes,
                                     .length = (*record)->length,
                                     .ancillary = {},
                                     .network = {},
                                     .link = {}};
        if (runtime::run(compiled->program.insns, packet, runtime::Rules::libpcap) != 0)
            std::printf("%u %u\n", number, packet.length);
    }
}
