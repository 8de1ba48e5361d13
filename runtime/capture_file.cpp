// The one file that includes <pcap.h>: it and libbpf's headers define struct bpf_insn twice.
#include "runtime/capture_file.h"

#include <array>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <pcap.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tamis::runtime {
namespace {

std::string shown_name(std::string const& path, std::string_view standard) {
    return path == "-" ? std::string(standard) : fmt::format("'{}'", escape(path));
}

// libpcap's words can hold bytes of the file.
Diagnostic cannot_read(std::string const& name, std::string_view words) {
    return {.message = fmt::format("cannot read {}: {}", name, escape(words)),
            .span = {},
            .notes = {},
            .fault = Fault::input};
}

Diagnostic cannot_write(std::string const& name, int error) {
    return system_error("cannot write " + name, error);
}

}  // namespace

struct CaptureReader::Handle {
    std::string name;
    pcap_t* pcap = nullptr;
    Handle() = default;
    Handle(Handle const&) = delete;
    Handle& operator=(Handle const&) = delete;
    ~Handle() {
        if (pcap) pcap_close(pcap);
    }
};

Result<CaptureReader> CaptureReader::open(std::string const& path) {
    auto handle = std::make_shared<Handle>();
    handle->name = shown_name(path, "standard input");
    FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "rbe");
    struct stat status {};
    int error = file && fstat(fileno(file), &status) == 0 ? 0 : errno;
    if (!error && S_ISDIR(status.st_mode)) error = EISDIR;
    if (error) {
        if (file && file != stdin) std::fclose(file);
        auto diagnostic = system_error("cannot read " + handle->name, error);
        diagnostic.fault = Fault::input;  // the user named the file
        return fail(std::move(diagnostic));
    }
    std::array<char, PCAP_ERRBUF_SIZE> words{};
    handle->pcap =
        pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, words.data());
    if (!handle->pcap) {
        if (file != stdin) std::fclose(file);
        return fail(cannot_read(handle->name, words.data()));
    }
    return CaptureReader(std::move(handle));
}

int CaptureReader::link_type() const { return pcap_datalink(handle_->pcap); }

std::uint32_t CaptureReader::snaplen() const {
    return static_cast<std::uint32_t>(pcap_snapshot(handle_->pcap));
}

Result<std::optional<Record>> CaptureReader::next() {
    pcap_pkthdr* header = nullptr;
    u_char const* bytes = nullptr;
    int const got = pcap_next_ex(handle_->pcap, &header, &bytes);
    if (got == PCAP_ERROR_BREAK) return std::nullopt;  // the end of the file
    if (got != 1) return fail(cannot_read(handle_->name, pcap_geterr(handle_->pcap)));
    return Record{.seconds = header->ts.tv_sec,
                  .nanoseconds = static_cast<std::uint32_t>(header->ts.tv_usec),
                  .length = header->len,
                  .bytes = {bytes, header->caplen}};
}

// Packets gather in one buffer that is written before a packet would not fit: the file grows by
// whole packets only.
struct CaptureWriter::Handle {
    static constexpr std::size_t buffer_size = std::size_t{1} << 18;

    std::string name;
    pcap_dumper_t* dumper = nullptr;
    std::size_t pending = 0;  // bytes in the buffer
    std::array<char, buffer_size> buffer;

    Handle() = default;
    Handle(Handle const&) = delete;
    Handle& operator=(Handle const&) = delete;
    ~Handle() {
        if (dumper) pcap_dump_close(dumper);
    }
    Result<void> flush() {
        pending = 0;
        errno = 0;
        if (std::fflush(pcap_dump_file(dumper)) != 0 || std::ferror(pcap_dump_file(dumper)))
            return fail(cannot_write(name, errno ? errno : EIO));
        return {};
    }
};

Result<CaptureWriter> CaptureWriter::create(std::string const& path, CaptureReader const& like) {
    return create(path, like.handle_->pcap);
}

Result<CaptureWriter> CaptureWriter::create(std::string const& path, int link_type,
                                            std::uint32_t snaplen) {
    std::unique_ptr<pcap_t, void (*)(pcap_t*)> const source(
        pcap_open_dead_with_tstamp_precision(link_type, static_cast<int>(snaplen),
                                             PCAP_TSTAMP_PRECISION_NANO),
        &pcap_close);
    if (!source) return fail(cannot_write(shown_name(path, "standard output"), ENOMEM));
    return create(path, source.get());
}

// `pcap` is a pcap_t, which the header does not know.
Result<CaptureWriter> CaptureWriter::create(std::string const& path, void* pcap) {
    auto handle = std::make_shared<Handle>();
    handle->name = shown_name(path, "standard output");
    auto* const source = static_cast<pcap_t*>(pcap);

    struct stat from {
    }, to{};
    FILE* const read = pcap_file(source);
    if (path != "-" && read && fstat(fileno(read), &from) == 0 && stat(path.c_str(), &to) == 0 &&
        S_ISREG(to.st_mode) && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        return fail({.message = handle->name + " is the file being read",
                     .span = {},
                     .notes = {},
                     .fault = Fault::input});

    // A stream of our own even for standard output: its buffer must be set before its first byte.
    int const fd = path == "-"
                       ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                       : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    FILE* const file = fd < 0 ? nullptr : fdopen(fd, "wb");
    if (!file) {
        int const error = errno;
        if (fd >= 0) ::close(fd);
        return fail(cannot_write(handle->name, error));
    }
    std::setvbuf(file, handle->buffer.data(), _IOFBF, handle->buffer.size());
    handle->dumper = pcap_dump_fopen(source, file);
    if (!handle->dumper) {
        // A link type that pcap cannot name; the stream is still ours.
        std::fclose(file);
        return fail({.message = fmt::format("cannot write {}: {}", handle->name,
                                            escape(pcap_geterr(source))),
                     .span = {},
                     .notes = {},
                     .fault = Fault::system});
    }
    handle->pending = sizeof(pcap_file_header);
    return CaptureWriter(std::move(handle));
}

Result<void> CaptureWriter::write(Record const& record) {
    assert(handle_->dumper && "not after close()");
    constexpr std::size_t record_header = 16;
    std::size_t const size = record_header + record.bytes.size();
    if (handle_->pending + size > Handle::buffer_size)
        if (auto flushed = handle_->flush(); !flushed) return flushed;
    handle_->pending += size;

    pcap_pkthdr header{};
    header.ts.tv_sec = record.seconds;
    header.ts.tv_usec = record.nanoseconds;
    header.caplen = static_cast<bpf_u_int32>(record.bytes.size());
    header.len = record.length;
    errno = 0;
    pcap_dump(reinterpret_cast<u_char*>(handle_->dumper), &header, record.bytes.data());
    if (std::ferror(pcap_dump_file(handle_->dumper)))
        return fail(cannot_write(handle_->name, errno ? errno : EIO));
    return {};
}

Result<void> CaptureWriter::flush() { return handle_->flush(); }

Result<void> CaptureWriter::close() {
    if (!handle_->dumper) return {};
    auto flushed = handle_->flush();
    pcap_dump_close(std::exchange(handle_->dumper, nullptr));
    return flushed;
}

}  // namespace tamis::runtime
