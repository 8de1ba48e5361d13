// The planted faults (mutants.txt) and their switch.
#pragma once

#include <span>
#include <string_view>

namespace tamis {

// Which fault is there: 0 for none, else its number from 1.
extern thread_local int planted;

struct PlantedFault {
    std::string_view name, file;
    std::string_view equivalent;  // the reason why nobody can notice it, or empty
};
std::span<PlantedFault const> faults();  // generated from the list

}  // namespace tamis
