// What tests of proofs share.
#pragma once

#include <string_view>

#include <gtest/gtest.h>

#include "bpf/hooks.h"
#include "frontend/compile.h"
#include "tests/support/translations.h"
#include "translator/translate.h"
#include "verify/prove.h"

#define TAMIS_NEED_SOLVER() \
    if (!tamis::verify::can_prove()) GTEST_SKIP() << tamis::verify::prover_missing

namespace tamis::verify {

inline cbpf::Program compiled(std::string_view text, bool optimise = false) {
    return frontend::compile(text, {.optimise = optimise})->program;
}

inline translator::Options defaults(Hook hook) { return test::options_for(row(hook)); }

}  // namespace tamis::verify
