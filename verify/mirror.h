// The mirror: our kernel form of a classic program beside what the running kernel made of it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/result.h"
#include "runtime/kernel.h"
#include "translator/kernel_form.h"
#include "verify/kernel_layout.h"
#include "verify/kernel_programs.h"

namespace tamis::verify {

// One program, translated twice.
struct Reflection {
    tl::expected<translator::KernelProgram, translator::KernelRefusal> ours;
    std::vector<ebpf::Insn> bound;  // ours with this kernel's numbers
    int kernel_error = 0;           // of SO_ATTACH_FILTER; 0: the kernel took it
    KernelCopy kernels;
    // The first instruction in which the two differ, and how; none: they are the same.  A program
    // that only one side takes differs from the start.
    struct Difference {
        std::size_t index;
        std::string what;
    };
    std::optional<Difference> difference;
    bool accepted() const { return kernel_error == 0; }
};

// Ours against a program that is in the kernel already.
Result<Reflection> reflect(cbpf::Program const& program, KernelCopy kernels,
                           translator::KernelModel const& model, translator::Layout const& symbols);

class Mirror {
  public:
    // `model` in place of the running kernel's, for tests that want to see a difference.
    static Result<Mirror> open(std::optional<translator::KernelModel> model = std::nullopt);

    KernelLayout const& layout() const { return layout_; }
    KernelPrograms& programs() { return programs_; }

    // Attaches every program to a socket of its own and reads all translations in one walk.  An
    // error is about the machine, never about a program.
    Result<std::vector<Reflection>> reflect(std::span<cbpf::Program const> programs);
    // How many programs one walk is worth.
    static constexpr std::size_t batch = 200;

  private:
    Mirror(KernelLayout layout, KernelPrograms programs)
        : layout_(std::move(layout)), programs_(std::move(programs)) {}
    KernelLayout layout_;
    KernelPrograms programs_;
    std::vector<runtime::Fd> sockets_;
};

// Totals over random programs.
struct RandomCheck {
    std::size_t accepted = 0, refused = 0;            // by the kernel
    std::size_t classic_insns = 0, kernel_insns = 0;  // of the accepted ones
    std::size_t differing = 0;
    double seconds = 0;
    // The first program that differed.
    std::optional<cbpf::Program> program;
    std::optional<Reflection> reflection;
};
// Compares programs until the kernel has accepted `count` of them.
Result<RandomCheck> check_random(Mirror& mirror, std::uint64_t seed, std::size_t count);

}  // namespace tamis::verify
