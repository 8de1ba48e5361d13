// The product's own random programs, under the tests' name.
#pragma once

#include "verify/random_cbpf.h"

namespace tamis::test {

using verify::RandomPrograms;

}  // namespace tamis::test
