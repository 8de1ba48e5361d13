#include "verify/engines.h"

#include <algorithm>
#include <string>

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

// Programs at these hooks may return no more than their actions' codes.
bool returns_any_value(HookRow const& hook) {
    return has_context(hook) && (hook.start == Start::device || hook.access == Access::ld_abs);
}

// The filter as a function of the classic value, or of 1 and 0 where a hook takes no other.
Result<ebpf::Program> as_function(cbpf::Program const& program, HookRow const& hook) {
    if (returns_any_value(hook)) return translator::translate_filter(program, hook);
    if (!has_context(hook)) return translator::translate_predicate(program, hook, {}, "filter");
    auto const returning = [&](std::int32_t code) {
        return *std::find_if(hook.actions.begin(), hook.actions.end(),
                             [&](ActionName const& a) { return (a.code != 0) == (code != 0); });
    };
    ActionName const one = returning(1), zero = returning(0);
    return translator::translate(program, {.hook = hook.hook,
                                           .match = {find_action(hook, one.name)},
                                           .no_match = {find_action(hook, zero.name)},
                                           .stats = false});
}

std::uint32_t decision(HookRow const& hook, std::uint32_t verdict) {
    if (returns_any_value(hook)) return verdict;
    return verdict != 0 ? 1 : 0;
}

class Interpreter : public Engine {
  public:
    Interpreter(HookRow const& hook, std::string_view how)
        : hook_(hook), name_(std::string(hook_.name) + std::string(how) + ", interpreted") {}
    std::string_view name() const override { return name_; }

    Result<bool> prepare(cbpf::Program const& program) override {
        auto translated = as_function(program, hook_);
        if (!translated)
            return reads_metadata(program) ? Result<bool>(false) : fail(translated.error());
        program_ = std::move(*translated);
        maps_ = runtime::map_memory(program_);
        return true;
    }

    Result<std::optional<std::uint32_t>> verdict(std::span<std::uint8_t const> bytes) override {
        auto const r0 = runtime::run(program_, hook_, model(bytes), maps_);
        if (!r0) return fail(r0.error());
        return decision(hook_, static_cast<std::uint32_t>(*r0));
    }

    Packet model(std::span<std::uint8_t const> bytes) override {
        Packet packet = Engine::model(bytes);
        // A packet at XDP always comes from a device; one on a unix socket has none.
        if (hook_.context == "xdp_md")
            packet.ancillary[static_cast<std::size_t>(cbpf::Anc::ifindex) / 4] = 1;
        // As good as random, and the same each time.
        if (!hook_.linear && !bytes.empty())
            packet.linear = static_cast<std::uint32_t>(bytes.size() * (bytes.back() % 9U) / 8);
        return packet;
    }

    std::uint32_t visible(std::uint32_t verdict, std::size_t) const override {
        return decision(hook_, verdict);
    }

  private:
    HookRow hook_;
    std::string name_;
    ebpf::Program program_;
    runtime::MapMemory maps_;
};

// The filter function of a form, loaded and run by the kernel.
class TestRun : public Engine {
  public:
    explicit TestRun(Hook hook)
        : hook_(row(hook)),
          name_(std::string(hook_.name) + ", kernel"),
          header_(header_of(hook_)) {}
    std::string_view name() const override { return name_; }

    Result<bool> prepare(cbpf::Program const& program) override {
        if (reads_metadata(program)) return false;
        auto translated = as_function(program, hook_);
        if (!translated) return fail(translated.error());
        auto const object = backend::object(*translated, hook_);
        if (!object) return fail(object.error());
        auto loaded = runtime::LoadedProgram::load(*object, hook_);
        if (!loaded) return fail(loaded.error());
        loaded_ = std::move(*loaded);
        return true;
    }

    Result<std::optional<std::uint32_t>> verdict(std::span<std::uint8_t const> bytes) override {
        // The kernel's test frames begin with an Ethernet header, or an IP header at netfilter, and
        // fit a page; see bpf_test_init.
        build_frame(bytes);
        if (frame_.size() < least() || frame_.size() > 3500 || looks_like_short_ip())
            return std::nullopt;
        auto const run = loaded_->test_run(frame_);
        if (!run) return fail(run.error());
        return decision(hook_, run->retval);
    }

    // Behind the Ethernet header the kernel sets the network header; a direct form knows neither.
    Packet model(std::span<std::uint8_t const> bytes) override {
        Packet packet = Engine::model(bytes);
        if (header_ == 0) return packet;
        build_frame(bytes);
        packet.bytes = frame_;
        packet.start = header_;
        if (hook_.access != Access::ld_abs) return packet;
        packet.network = ethernet_header;
        packet.link = 0;
        return packet;
    }

    std::uint32_t visible(std::uint32_t verdict, std::size_t) const override {
        return decision(hook_, verdict);
    }

  private:
    // What the kernel takes off a test frame before it runs the program.
    static std::uint32_t header_of(HookRow const& hook) {
        bool const whole = hook.access == Access::dynptr ||
                           (hook.start == Start::device && hook.access == Access::pointer);
        return whole ? 0 : ethernet_header;
    }

    std::size_t least() const { return hook_.access == Access::dynptr ? 20 : ethernet_header; }

    void build_frame(std::span<std::uint8_t const> bytes) {
        frame_.assign(header_, 0);
        frame_.insert(frame_.end(), bytes.begin(), bytes.end());
    }

    // For skbs the kernel wants a whole IP header behind an IP EtherType.
    bool looks_like_short_ip() const {
        if (hook_.access == Access::dynptr)
            return frame_[0] >> 4 != 4 && (frame_[0] >> 4 != 6 || frame_.size() < 40);
        if (hook_.context == "xdp_md" || header_ != 0) return false;
        unsigned const type = frame_[12] * 256U + frame_[13];
        return (type == 0x0800 && frame_.size() < 34) || (type == 0x86dd && frame_.size() < 54);
    }

    HookRow const& hook_;
    std::string name_;
    std::uint32_t header_;
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

std::unique_ptr<Engine> interpreter(Hook hook) {
    return std::make_unique<Interpreter>(row(hook), "");
}
std::unique_ptr<Engine> bounds_interpreter(Hook hook, Access access) {
    return std::make_unique<Interpreter>(bounds_only(row(hook), access),
                                         access == Access::probe ? ", probed" : ", bounds only");
}
std::unique_ptr<Engine> in_kernel(Hook hook) { return std::make_unique<TestRun>(hook); }
std::unique_ptr<Engine> kernel_classic() { return std::make_unique<ClassicAttach>(); }

std::vector<std::unique_ptr<Engine>> unprivileged_engines() {
    std::vector<std::unique_ptr<Engine>> engines;
    for (Hook const hook : {Hook::socket, Hook::xdp, Hook::xdp_frags, Hook::tc_ingress,
                            Hook::cgroup_egress, Hook::netfilter_input})
        engines.push_back(interpreter(hook));
    for (Access const access : {Access::pointer, Access::probe})
        engines.push_back(bounds_interpreter(Hook::xdp, access));
    engines.push_back(kernel_classic());
    return engines;
}

std::vector<std::unique_ptr<Engine>> kernel_engines() {
    std::vector<std::unique_ptr<Engine>> engines;
    for (Hook const hook :
         {Hook::socket, Hook::xdp, Hook::xdp_frags, Hook::tc_ingress, Hook::tc_action,
          Hook::cgroup_ingress, Hook::lwt_xmit, Hook::netfilter_input})
        if (runtime::kernel_has(row(hook))) engines.push_back(in_kernel(hook));
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
