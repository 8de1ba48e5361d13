#include "verify/engines.h"

#include <algorithm>
#include <array>

#include "backend/object.h"
#include "bpf/cbpf_check.h"
#include "runtime/ebpf_vm.h"
#include "runtime/kernel.h"
#include "translator/translate.h"

namespace tamis::verify {
namespace {

using runtime::Packet;

constexpr std::uint32_t ethernet_header = 14;

bool reads_metadata(cbpf::Program const& program) {
    return std::any_of(program.insns.begin(), program.insns.end(), [](cbpf::Insn const& insn) {
        cbpf::Op const* op = cbpf::find(insn.code);
        return op && op->kind == cbpf::Kind::load_abs && cbpf::find_ancillary(insn.k);
    });
}

class Interpreter : public Engine {
  public:
    Interpreter(std::string_view name, Hook hook) : name_(name), hook_(row(hook)) {}
    std::string_view name() const override { return name_; }

    Result<bool> prepare(cbpf::Program const& program) override {
        auto translated = translator::translate_filter(program, hook_);
        if (!translated)
            return reads_metadata(program) ? Result<bool>(false) : fail(translated.error());
        program_ = std::move(*translated);
        maps_ = runtime::map_memory(program_);
        return true;
    }

    Result<std::optional<std::uint32_t>> verdict(std::span<std::uint8_t const> bytes) override {
        auto const r0 = runtime::run(program_, hook_, model(bytes), maps_);
        if (!r0) return fail(r0.error());
        return static_cast<std::uint32_t>(*r0);
    }

    // A packet at XDP always comes from a device; one on a unix socket has none.
    Packet model(std::span<std::uint8_t const> bytes) override {
        Packet packet = Engine::model(bytes);
        if (hook_.hook == Hook::xdp)
            packet.ancillary[static_cast<std::size_t>(cbpf::Anc::ifindex) / 4] = 1;
        return packet;
    }

  private:
    std::string_view name_;
    HookRow const& hook_;
    ebpf::Program program_;
    runtime::MapMemory maps_;
};

// The filter function of a form, loaded and run by the kernel.
class TestRun : public Engine {
  public:
    // `header` bytes go in front of every packet: what the kernel takes off before it runs the
    // program.
    TestRun(std::string_view name, Hook hook, std::size_t header)
        : name_(name), hook_(row(hook)), header_(header) {}
    std::string_view name() const override { return name_; }

    Result<bool> prepare(cbpf::Program const& program) override {
        if (reads_metadata(program)) return false;
        auto translated = translator::translate_filter(program, hook_);
        if (!translated) return fail(translated.error());
        auto const object = backend::object(*translated, hook_);
        if (!object) return fail(object.error());
        auto loaded = runtime::LoadedProgram::load(*object, hook_);
        if (!loaded) return fail(loaded.error());
        loaded_ = std::move(*loaded);
        return true;
    }

    Result<std::optional<std::uint32_t>> verdict(std::span<std::uint8_t const> bytes) override {
        // The kernel's test frames begin with an Ethernet header and fit a page; see bpf_test_init.
        build_frame(bytes);
        if (frame_.size() < 14 || frame_.size() > 3500 || (header_ == 0 && looks_like_short_ip()))
            return std::nullopt;
        auto const run = loaded_->test_run(frame_);
        if (!run) return fail(run.error());
        return run->retval;
    }

    // Behind the Ethernet header the kernel sets the network header; an XDP program has neither.
    Packet model(std::span<std::uint8_t const> bytes) override {
        Packet packet = Engine::model(bytes);
        if (hook_.access == Access::pointer) return packet;
        build_frame(bytes);
        packet.bytes = frame_;
        packet.start = static_cast<std::uint32_t>(header_);
        packet.network = ethernet_header;
        packet.link = 0;
        return packet;
    }

  private:
    void build_frame(std::span<std::uint8_t const> bytes) {
        frame_.assign(header_, 0);
        frame_.insert(frame_.end(), bytes.begin(), bytes.end());
    }

    // For skbs the kernel wants a whole IP header behind an IP EtherType.
    bool looks_like_short_ip() const {
        if (hook_.access == Access::pointer) return false;
        unsigned const type = frame_[12] * 256U + frame_[13];
        return (type == 0x0800 && frame_.size() < 34) || (type == 0x86dd && frame_.size() < 54);
    }

    std::string_view name_;
    HookRow const& hook_;
    std::size_t header_;
    std::optional<runtime::LoadedProgram> loaded_;
    std::vector<std::uint8_t> frame_;
};

class ClassicAttach : public Engine {
  public:
    std::string_view name() const override { return "classic on a unix datagram pair"; }

    Result<bool> prepare(cbpf::Program const& program) override {
        if (reads_metadata(program) || cbpf::refusal(program.insns)) return false;
        // A fresh pair each time: replacing a filter needs memory until RCU frees the old one.
        auto pair = runtime::DatagramPair::open();
        if (!pair) return fail(pair.error());
        auto const attached = runtime::attach_classic(pair->receiver(), program.insns);
        if (!attached) return fail(attached.error());
        pair_ = std::move(*pair);
        return true;
    }

    Result<std::optional<std::uint32_t>> verdict(std::span<std::uint8_t const> bytes) override {
        if (bytes.empty()) return std::nullopt;  // nothing that arrives could be told from nothing
        auto const arrived = pair_->send(bytes);
        if (!arrived) return fail(arrived.error());
        return static_cast<std::uint32_t>(arrived->value_or(0));
    }

    // Such a datagram is payload from byte 0; nobody sets its network header, whose offset is 0
    // then.
    Packet model(std::span<std::uint8_t const> bytes) override {
        Packet packet = Engine::model(bytes);
        packet.network = 0;
        return packet;
    }

    std::uint32_t visible(std::uint32_t verdict, std::size_t size) const override {
        return static_cast<std::uint32_t>(std::min<std::size_t>(verdict, size));
    }

  private:
    std::optional<runtime::DatagramPair> pair_;
};

}  // namespace

std::unique_ptr<Engine> socket_form_interpreter() {
    return std::make_unique<Interpreter>("socket form, interpreted", Hook::socket);
}
std::unique_ptr<Engine> direct_form_interpreter() {
    return std::make_unique<Interpreter>("direct form, interpreted", Hook::xdp);
}
// A socket filter's test packet starts behind its Ethernet header.
std::unique_ptr<Engine> kernel_socket_form() {
    return std::make_unique<TestRun>("socket form, kernel", Hook::socket, ethernet_header);
}
std::unique_ptr<Engine> kernel_tc() {
    return std::make_unique<TestRun>("socket form at tc, kernel", Hook::tc_ingress, std::size_t{0});
}
std::unique_ptr<Engine> kernel_direct_form() {
    return std::make_unique<TestRun>("direct form at xdp, kernel", Hook::xdp, std::size_t{0});
}
std::unique_ptr<Engine> kernel_classic() { return std::make_unique<ClassicAttach>(); }

std::vector<std::unique_ptr<Engine>> unprivileged_engines() {
    std::vector<std::unique_ptr<Engine>> engines;
    engines.push_back(socket_form_interpreter());
    engines.push_back(direct_form_interpreter());
    engines.push_back(kernel_classic());
    return engines;
}

std::vector<std::unique_ptr<Engine>> kernel_engines() {
    std::vector<std::unique_ptr<Engine>> engines;
    engines.push_back(kernel_socket_form());
    engines.push_back(kernel_tc());
    engines.push_back(kernel_direct_form());
    return engines;
}

Result<std::optional<Difference>> compare(Engine& engine, cbpf::Program const& program,
                                          std::span<std::uint8_t const> bytes) {
    auto const got = engine.verdict(bytes);
    if (!got) return fail(got.error());
    if (!*got) return std::nullopt;
    std::uint32_t const value = runtime::run(program.insns, engine.model(bytes), engine.rules());
    std::uint32_t const expected = engine.visible(value, bytes.size());
    if (**got == expected) return std::nullopt;
    return Difference{engine.name(), expected, **got};
}

}  // namespace tamis::verify
