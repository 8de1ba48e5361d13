// The main() of the kernel's tracing samples: load the object, ping, print the trace pipe.
#include <cstdio>
#include <string>

#include "runtime/object_file.h"
#include "runtime/tracefs.h"

using namespace tamis;

static int complain(Diagnostic const& diagnostic) {
    std::fputs(render(diagnostic, {"tracex1", ""}).c_str(), stderr);
    return diagnostic.fault == Fault::input ? 2 : 3;
}

int main(int argc, char** argv) {
    auto const loaded = runtime::load_bpf_file(argc > 1 ? argv[1] : "tracex1.o");
    if (!loaded) return complain(loaded.error());
    // Readable when the pings are over.
    FILE* pings = popen("ping -c 5 -i 0.2 127.0.0.1 >/dev/null; echo", "r");
    if (!pings) return 3;
    auto const print = [](std::string_view line) { std::puts(std::string(line).c_str()); };
    auto const read = runtime::read_trace_pipe(print, fileno(pings));
    pclose(pings);
    return read ? 0 : complain(read.error());
}
