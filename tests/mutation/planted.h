// The switch of the planted faults (mutants.txt): 0 for none, else a fault's number from 1.
#pragma once

namespace tamis {

extern thread_local int planted;

}  // namespace tamis
