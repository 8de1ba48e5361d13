// Whether a term can be true: the door to the SMT solver.  One file behind it knows z3; without z3
// another says so.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "verify/term.h"

namespace tamis::verify {

// What makes an assertion true: the variables by number, and those bytes of the packet that it
// speaks of.
struct Model {
    std::vector<std::uint64_t> variables;
    std::map<std::uint32_t, std::uint8_t> bytes;
};

// The same for an Evaluation, as long as the model lives: other bytes are 0.
Valuation valuation(Model const& model);

enum class Answer : std::uint8_t {
    no,       // for no value of the variables
    yes,      // for those of the model
    unknown,  // not found out in time
};

class Solver {
  public:
    // False in a build without z3: every question is then answered `unknown`, but for those that
    // are literally true or false.
    static bool available();

    explicit Solver(Terms const& terms);
    ~Solver();
    Solver(Solver const&) = delete;
    Solver& operator=(Solver const&) = delete;

    // Whether all assertions can be true together.  `model` is filled in for `yes`.
    Answer ask(std::span<Term const> assertions, std::chrono::milliseconds timeout,
               Model* model = nullptr);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace tamis::verify
