// Pieces of C that several writers of it share.
#pragma once

#include <string>
#include <string_view>

namespace tamis::backend {

// Foreign text that a C comment can hold: its bytes escaped, nothing in it ends the comment or
// looks like another one's beginning.
std::string comment_text(std::string_view foreign);

}  // namespace tamis::backend
