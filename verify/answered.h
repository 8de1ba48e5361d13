// Questions that a solver has answered.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "verify/solver.h"

namespace tamis::verify {

// Translations of one program for several hooks are mostly the same code, and so are the questions
// about it.  Answers are found by all that a question says, whatever Terms it was built in.
class Answered {
  public:
    struct Found {
        Answer answer;
        Model model;  // of `yes`, for the Terms of the question
    };
    using Question = std::string;

    static Question question(Terms const& terms, std::span<Term const> assertions);
    // What the solver would answer within that time; a time that was not enough is taken to be not
    // enough again, unless it is doubled.
    std::optional<Found> find(Question const& question, Terms const& terms,
                              std::chrono::milliseconds timeout) const;
    void remember(Question question, Terms const& terms, std::chrono::milliseconds timeout,
                  Found const& found);

  private:
    struct Remembered {
        Answer answer;
        std::chrono::milliseconds timeout;
        std::vector<std::pair<std::string, std::uint64_t>> variables;  // by name
        std::map<std::uint32_t, std::uint8_t> bytes;
    };
    std::unordered_map<Question, Remembered> known_;
};

}  // namespace tamis::verify
