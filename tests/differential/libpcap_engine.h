// libpcap's own interpreter as an engine.
#pragma once

#include <memory>

#include "verify/engines.h"

namespace tamis::test {

std::unique_ptr<verify::Engine> libpcap_engine();

}  // namespace tamis::test
