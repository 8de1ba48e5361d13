// What libbpf prints, kept instead of printed.
#pragma once

#include <string>

namespace tamis::runtime {

// While one lives, warnings of libbpf calls by this thread are collected in text(), unescaped;
// otherwise they go where they went before.  One at a time per thread.
class LibbpfWords {
  public:
    LibbpfWords();
    ~LibbpfWords();
    LibbpfWords(LibbpfWords const&) = delete;
    LibbpfWords& operator=(LibbpfWords const&) = delete;
    std::string const& text() const { return text_; }

  private:
    std::string text_;
};

}  // namespace tamis::runtime
