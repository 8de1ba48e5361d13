// A classic program as C for people to read.
//
// Why from the classic program, and not from what the frontend knows of the text: every filter has
// one (given ones and unoptimised ones too), all other forms are held against it, and on packets
// that end early it says exactly what happens.  What makes C of it is that classic programs only
// jump forward: blocks that one way leads to are nested or follow each other with early returns,
// blocks that several ways lead to are functions, and so no goto is left.
#pragma once

#include <string>

#include "bpf/cbpf.h"
#include "bpf/diagnostic.h"
#include "bpf/hooks.h"
#include "bpf/result.h"

namespace tamis::backend {

struct COptions {
    HookRow const* hook = nullptr;  // null: a plain function of bytes in memory
    Action match{}, no_match{};     // of the hook's row
    bool stats = true;
    int link_type = 0;  // for the names of fields; of the table of link types
    std::string name = "tamis_filter";
};

// A whole file.  With a hook: a program as the object's (same section, actions and counters), for
// `clang -g -O2 -target bpf`; without: a function for any C compiler, which follows libpcap's rule
// where that and the kernel's differ.  Fails where the object does, and at netfilter.
Result<std::string> c_source(cbpf::Program const& program, Source const& text,
                             COptions const& options);

}  // namespace tamis::backend
