// An eBPF program as an ELF object that libbpf, bpftool, iproute2 and libxdp load as it is.
#pragma once

#include <cstddef>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"

namespace tamis::backend {

// The object's bytes: the entry function in the hook's section, other functions in .text, maps in
// .maps with their relocations, license `Dual BSD/GPL`, BTF and .BTF.ext with function info.  The
// same program gives the same bytes everywhere.
Result<std::vector<std::byte>> object(ebpf::Program const& program, HookRow const& hook);

// The program's instructions as 8-byte little-endian records, as they would be loaded.
std::vector<std::byte> raw(ebpf::Program const& program);

}  // namespace tamis::backend
