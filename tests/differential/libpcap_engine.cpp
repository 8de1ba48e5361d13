#include "tests/differential/libpcap_engine.h"

#include <pcap/pcap.h>

namespace tamis::test {
namespace {

class LibpcapEngine : public verify::Engine {
  public:
    std::string_view name() const override { return "libpcap's bpf_filter"; }
    runtime::Rules rules() const override { return runtime::Rules::libpcap; }

    Result<bool> prepare(cbpf::Program const& program) override {
        insns_.clear();
        for (cbpf::Insn const& insn : program.insns)
            insns_.push_back({insn.code, insn.jt, insn.jf, insn.k});
        return true;
    }

    Result<std::optional<std::uint32_t>> verdict(std::span<std::uint8_t const> bytes) override {
        auto const size = static_cast<u_int>(bytes.size());
        return bpf_filter(insns_.data(), bytes.data(), size, size);
    }

  private:
    std::vector<bpf_insn> insns_;
};

}  // namespace

std::unique_ptr<verify::Engine> libpcap_engine() { return std::make_unique<LibpcapEngine>(); }

}  // namespace tamis::test
