// What libbpf prints, kept instead of printed.
#pragma once

#include <string>

namespace tamis::runtime {

// While one lives, warnings of libbpf calls by this thread are collected in text(), unescaped;
// otherwise they go where they went before.  Of several the innermost gets them.
class LibbpfWords {
  public:
    LibbpfWords();
    ~LibbpfWords();
    LibbpfWords(LibbpfWords const&) = delete;
    LibbpfWords& operator=(LibbpfWords const&) = delete;
    std::string const& text() const { return text_; }

  private:
    std::string text_;
    std::string* outer_;
};

}  // namespace tamis::runtime
