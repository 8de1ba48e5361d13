// The functions of an object: their instructions, and which of them lead to which others.
#pragma once

#include <span>
#include <vector>

#include "runtime/elf_object.h"
#include "runtime/elf_sections.h"

namespace tamis::runtime {

std::vector<Function> functions_of(std::span<ElfSection const> sections,
                                   std::span<ElfSymbol const> symbols);

}  // namespace tamis::runtime
