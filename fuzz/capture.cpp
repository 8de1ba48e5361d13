// libFuzzer target: any bytes as a capture file.  Every packet is summarised, and a copy of what
// could be read holds the same packets, be it in the file's own format or as pcapng beside another.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "runtime/capture_file.h"
#include "runtime/summary.h"

namespace {

using namespace tamis;

struct Seen {
    std::int64_t seconds;
    std::uint32_t nanoseconds, length;
    int link_type;
    bool timed;
    std::vector<std::uint8_t> bytes;
    bool operator==(Seen const&) const = default;
};

// A file in memory, by its name.
class Memory {
  public:
    Memory() : descriptor_(memfd_create("capture", 0)) {
        if (descriptor_ < 0) std::abort();
    }
    Memory(Memory const&) = delete;
    Memory& operator=(Memory const&) = delete;
    ~Memory() { close(descriptor_); }
    void fill(std::uint8_t const* data, std::size_t size) const {
        if (write(descriptor_, data, size) != static_cast<ssize_t>(size)) std::abort();
    }
    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

  private:
    int descriptor_;
};

std::vector<Seen> read(runtime::CaptureReader reader, runtime::CaptureWriter* copy) {
    std::vector<Seen> out;
    for (;;) {
        auto const item = reader.next_item();
        if (!item || !*item) return out;
        if (copy && !copy->copy(reader, **item)) std::abort();
        if (!(*item)->packet) continue;
        runtime::Record const& r = *(*item)->packet;
        (void)runtime::summary(r.bytes, r.link_type);
        out.push_back({r.seconds,
                       r.nanoseconds,
                       r.length,
                       r.link_type,
                       r.timed,
                       {r.bytes.begin(), r.bytes.end()}});
    }
}

void copy_has_the_same_packets(Memory const& input, std::vector<runtime::CaptureReader> others) {
    auto reader = runtime::CaptureReader::open(input.path());
    if (!reader) return;
    others.insert(others.begin(), *reader);
    Memory output;
    auto writer = runtime::CaptureWriter::create(output.path(), others);
    if (!writer) std::abort();
    auto const packets = read(*reader, &*writer);
    if (!writer->close()) std::abort();
    if (packets.empty()) return;
    auto const again = runtime::CaptureReader::open(output.path());
    if (!again || read(*again, nullptr) != packets) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    Memory input, other;
    input.fill(data, size);
    copy_has_the_same_packets(input, {});
    if (!runtime::CaptureWriter::create(other.path(), 276, 7)) std::abort();
    copy_has_the_same_packets(input, {*runtime::CaptureReader::open(other.path())});
    return 0;
}
