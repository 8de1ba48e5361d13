// What a filter finds out before its first test.
#pragma once

#include "frontend/formula.h"
#include "frontend/layers.h"

namespace tamis::frontend {

// Puts in front of the formula what its link type needs: where headers of variable length end, if a
// test reads behind them, and that a PPI header stands before an 802.11 frame.  Unread variables of
// the link type are given back.  `whole` is the origin of what is added.
void add_prologue(Formula& formula, LinkLayer const& type, Span whole);

}  // namespace tamis::frontend
