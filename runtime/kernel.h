// Loading programs into the running kernel, attaching them, and running them there on packets of
// our own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"

namespace tamis::runtime {

// A file descriptor that closes itself.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Fd(Fd const&) = delete;
    Fd& operator=(Fd const&) = delete;
    ~Fd();
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

struct Counter {
    std::uint64_t packets = 0, bytes = 0;
};
struct Counters {
    Counter passed, matched;
};

struct TestRun {
    std::uint32_t retval = 0;
    std::uint32_t nanoseconds = 0;  // average of one run
};

// Of a map of two counters, passed and matched, summed over CPUs; an error when it is no such map.
Result<Counters> read_counters(int map);

// One program of an ELF object, loaded.  It leaves the kernel with this value unless a link or a
// socket holds it.
class LoadedProgram {
  public:
    // Loads the object's only entry program (libbpf; EAGAIN is retried there).  A refusal by the
    // verifier is a Diagnostic whose notes are the last lines of its log, escaped; a missing
    // privilege names the capability of the hook's row.  `device`, an interface index, is for
    // programs that ask a driver for metadata at XDP: they can be attached there and nowhere else.
    static Result<LoadedProgram> load(std::span<std::byte const> object, HookRow const& hook,
                                      std::uint32_t device = 0);

    int fd() const;
    std::uint32_t id() const;
    std::size_t verified_insns() const;  // instructions the verifier processed (bpf_prog_info)
    int counters_fd() const;             // of the map `counters`; -1: the program has none
    Result<Counters> counters() const;
    // BPF_PROG_TEST_RUN: for xdp 14..., for skb hooks see the kernel's own limits on size.
    Result<TestRun> test_run(std::span<std::uint8_t const> packet, std::uint32_t repeat = 1) const;

  private:
    struct Handle;
    explicit LoadedProgram(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
    std::shared_ptr<Handle> handle_;
};

// Loads a program that came from nobody's object writer, with its maps as they are described, runs
// it on one packet (BPF_PROG_TEST_RUN) and unloads it.  Kernel functions are not resolved.
Result<TestRun> test_run(ebpf::Program const& program, HookRow const& hook,
                         std::span<std::uint8_t const> packet);

// Whether the running kernel's release (uname) is new enough for the hook.
bool kernel_has(HookRow const& hook);

// Interface index of a name; unknown names get near matches in a note.
Result<std::uint32_t> interface_index(std::string const& name);
// The link type (DLT_*) of packets at the device hooks of an interface, by its hardware type; one
// that tamis does not know yet is an error.
Result<int> interface_link_type(std::string const& name);

enum class XdpMode : std::uint8_t { automatic, native, generic };
// A program that was attached by netlink, put aside.
struct XdpReplaced {
    Fd program;
    std::uint32_t interface;
    XdpMode mode;
};
struct XdpAttachment {
    Fd link;
    XdpMode mode;  // what was got: native or generic
    std::optional<XdpReplaced> replaced;
    std::chrono::microseconds gap{};  // in which no program was there
};
// A bpf_link: it goes with the file descriptor.  EBUSY says which program holds the interface.
Result<XdpAttachment> attach_xdp(LoadedProgram const& program, std::string const& interface,
                                 XdpMode mode);
// `program` is a file descriptor here and below.
Result<XdpAttachment> attach_xdp(int program, std::string const& interface, XdpMode mode);
// The same in place of the program with that ID, which must be there by netlink: links and netlink
// cannot replace each other.  It is not lost: put_back, when the link is gone.
Result<XdpAttachment> replace_xdp(int program, std::string const& interface, XdpMode mode,
                                  std::uint32_t old_program);
Result<void> put_back(XdpReplaced const& old);

// Which packets of an interface a packet socket sees.
enum class Direction : std::uint8_t { in, both };
// An AF_PACKET socket on the interface that receives nothing the filter did not pass, from its
// first packet on (the socket gets its protocol only after the filter).
Result<Fd> packet_socket(std::string const& interface, LoadedProgram const& program,
                         Direction direction = Direction::both);
Result<Fd> packet_socket(std::string const& interface, int program,
                         Direction direction = Direction::both);
Result<Fd> packet_socket(std::string const& interface, std::span<cbpf::Insn const> program,
                         Direction direction = Direction::both);

// SO_ATTACH_FILTER: EINVAL is explained by cbpf::refusal, ENOMEM by net.core.optmem_max, EPERM by a
// locked filter.
Result<void> attach_classic(int socket, std::span<cbpf::Insn const> program);
// SO_ATTACH_BPF.
Result<void> attach_ebpf(int socket, LoadedProgram const& program);
Result<void> attach_ebpf(int socket, int program);

// A connected pair of unix datagram sockets: what is sent on the first is filtered on its way to
// the second.  Needs no privilege and no network.
class DatagramPair {
  public:
    static Result<DatagramPair> open();
    int receiver() const { return receiver_.get(); }
    // Sends the bytes and returns how many arrived: min(verdict, size), or nothing for verdict 0.
    Result<std::optional<std::size_t>> send(std::span<std::uint8_t const> bytes);

  private:
    Fd sender_, receiver_;
};

}  // namespace tamis::runtime
