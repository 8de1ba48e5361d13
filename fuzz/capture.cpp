// libFuzzer target: any bytes as a capture file; every packet is summarised.
#include <cstdint>
#include <cstdlib>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "runtime/capture_file.h"
#include "runtime/summary.h"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace tamis;
    int const fd = memfd_create("capture", 0);
    if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
    if (auto reader = runtime::CaptureReader::open("/proc/self/fd/" + std::to_string(fd))) {
        for (;;) {
            auto const record = reader->next();
            if (!record || !*record) break;
            (void)runtime::summary((*record)->bytes, reader->link_type());
        }
    }
    close(fd);
    return 0;
}
