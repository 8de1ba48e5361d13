// VLAN tags at XDP: a driver with VLAN offload has taken the outer one out of the packet before a
// program there sees it, and tells only those who ask for it.
#pragma once

#include <optional>
#include <string>

#include "bpf/cbpf.h"
#include "bpf/result.h"

namespace tamis::runtime {

// The command that makes the tags of an interface's packets stay in them; nothing where they do
// already.  In a veth pair it is the sender's offload that counts.
Result<std::optional<std::string>> vlan_offload_remedy(std::string const& interface);

// The part of the text that asks for a tag: a load of VLAN metadata, or a comparison of the
// EtherType with that of a tag.  `program` is one for packets whose tags were taken out.
std::optional<Span> asks_for_tag(cbpf::Program const& program);

}  // namespace tamis::runtime
