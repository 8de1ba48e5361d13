#include "runtime/capture_file.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <utility>
#include <variant>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/capture_io.h"
#include "runtime/pcap_format.h"
#include "runtime/pcapng_format.h"

namespace tamis::runtime {
namespace {

using Format = std::variant<Pcap, Pcapng>;

Diagnostic cannot_read(std::string const& name, std::string_view words,
                       std::vector<Note> notes = {}) {
    return {fmt::format("cannot read {}: {}", name, words), std::nullopt, std::move(notes)};
}

Diagnostic cannot_read(std::string const& name, int error) {
    auto diagnostic = system_error("cannot read " + name, error);
    diagnostic.fault = Fault::input;  // the user named the file
    return diagnostic;
}

// Files that hold a capture file inside.
struct Packed {
    std::array<std::uint8_t, 2> begin;
    std::string_view name, unpack;
};
constexpr Packed packed[] = {
    {{0x1f, 0x8b}, "gzip", "zcat"},
    {{0x28, 0xb5}, "zstd", "zstdcat"},
    {{0xfd, 0x37}, "xz", "xzcat"},
    {{'B', 'Z'}, "bzip2", "bzcat"},
};

Diagnostic unknown_format(std::string const& name, std::span<std::uint8_t const> bytes) {
    if (bytes.size() < 4) return cannot_read(name, "truncated before it says its format");
    for (Packed const& kind : packed)
        if (std::equal(kind.begin.begin(), kind.begin.end(), bytes.begin()))
            return cannot_read(name, fmt::format("it is compressed by {}", kind.name),
                               {{fmt::format("{} FILE | tamis match -r -", kind.unpack), {}}});
    return cannot_read(name, fmt::format("neither pcap nor pcapng begins with the bytes {:02x} "
                                         "{:02x} {:02x} {:02x}",
                                         bytes[0], bytes[1], bytes[2], bytes[3]));
}

Result<Format> recognise(InputBuffer& input, std::string const& name) {
    auto pcap = Pcap::open(input);
    if (!pcap) return fail(cannot_read(name, pcap.error().message, pcap.error().notes));
    if (*pcap) return Format(**pcap);
    auto pcapng = Pcapng::open(input);
    if (!pcapng) return fail(cannot_read(name, pcapng.error().message));
    if (*pcapng) return Format(std::move(**pcapng));
    if (input.error() != 0) return fail(cannot_read(name, input.error()));
    return fail(unknown_format(name, input.peek(4)));
}

}  // namespace

struct CaptureReader::Handle {
    Handle(std::string file, int descriptor) : name(std::move(file)), input(descriptor) {}
    std::string name;
    InputBuffer input;
    Format format;
};

Result<CaptureReader> CaptureReader::open(std::string const& path) {
    std::string const shown = shown_name(path, "standard input");
    int const descriptor = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return fail(cannot_read(shown, errno));
    auto handle = std::make_shared<Handle>(path == "-" ? "<stdin>" : path, descriptor);
    auto format = recognise(handle->input, shown);
    if (!format) return fail(format.error());
    handle->format = std::move(*format);
    return CaptureReader(std::move(handle));
}

int CaptureReader::link_type() const {
    return std::visit([](auto const& format) { return format.link_type(); }, handle_->format);
}

bool CaptureReader::is_pcapng() const { return std::holds_alternative<Pcapng>(handle_->format); }

Result<std::optional<Item>> CaptureReader::next_item() {
    InputBuffer& input = handle_->input;
    auto item = std::visit([&](auto& format) { return format.next(input); }, handle_->format);
    bool const ended = !item || !*item;
    if (ended && input.error() != 0) return fail(system_error("cannot read on", input.error()));
    return item;
}

Result<std::optional<Record>> CaptureReader::next() {
    for (;;) {
        auto const item = next_item();
        if (!item) return fail(item.error());
        if (!*item) return std::nullopt;
        if ((*item)->packet) return (*item)->packet;
    }
}

Source CaptureReader::where() const {
    return {fmt::format("{}:{}", escape(handle_->name), offset()), ""};
}

std::uint64_t CaptureReader::offset() const { return handle_->input.offset(); }

std::uint64_t CaptureReader::size() const { return handle_->input.size(); }

void CaptureReader::on_read(std::function<void(bool)> call) {
    handle_->input.on_read(std::move(call));
}

struct CaptureWriter::Handle {
    std::unique_ptr<OutputFile> file;
    std::optional<Pcap> format;        // of what is written; none: pcapng
    void const* section_of = nullptr;  // the pcap whose packets the last section holds
    std::vector<std::uint8_t> piece;   // that is put together

    Result<void> write_piece() {
        auto written = file->write(piece);
        piece.clear();
        return written;
    }
};

Result<CaptureWriter> CaptureWriter::create(std::string const& path, int link_type,
                                            std::uint32_t snaplen) {
    auto file = OutputFile::create(path);
    if (!file) return fail(file.error());
    auto handle = std::make_shared<Handle>();
    handle->file = std::move(*file);
    handle->format = Pcap::create(link_type, snaplen);
    if (auto written = handle->file->write(handle->format->header()); !written)
        return fail(written.error());
    return CaptureWriter(std::move(handle));
}

namespace {

bool same_file(int descriptor, std::string const& path) {
    struct stat first {
    }, second{};
    return fstat(descriptor, &first) == 0 && stat(path.c_str(), &second) == 0 &&
           S_ISREG(first.st_mode) && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

Result<CaptureWriter> CaptureWriter::create(std::string const& path,
                                            std::span<CaptureReader const> sources) {
    assert(!sources.empty());
    std::optional<Pcap> format;
    if (auto const* first = std::get_if<Pcap>(&sources[0].handle_->format)) format = *first;
    for (CaptureReader const& source : sources) {
        if (path != "-" && same_file(source.handle_->input.descriptor(), path))
            return fail({fmt::format("{} is the capture that is read", shown_name(path, "")),
                         std::nullopt,
                         {{"write to another file", std::nullopt}}});
        auto const* const pcap = std::get_if<Pcap>(&source.handle_->format);
        if (!pcap || !format || !format->same_kind(*pcap))
            format.reset();
        else  // of all, the most that a packet can have
            format->widen(*pcap);
    }
    auto file = OutputFile::create(path);
    if (!file) return fail(file.error());
    auto handle = std::make_shared<Handle>();
    handle->file = std::move(*file);
    handle->format = format;
    if (format)
        if (auto written = handle->file->write(format->header()); !written)
            return fail(written.error());
    return CaptureWriter(std::move(handle));
}

Result<void> CaptureWriter::write(Record const& record) {
    assert(handle_->format && "what has no format of its own copies");
    handle_->format->append(record, handle_->piece);
    return handle_->write_piece();
}

Result<void> CaptureWriter::copy(CaptureReader const& source, Item const& item) {
    auto const* const pcap = std::get_if<Pcap>(&source.handle_->format);
    if (handle_->format || !pcap) return handle_->file->write(item.raw);
    if (std::exchange(handle_->section_of, pcap) != pcap)
        Pcapng::append_section(pcap->link_type(), pcap->snaplen(), pcap->in_nanoseconds(),
                               handle_->piece);
    if (item.packet) Pcapng::append(*item.packet, pcap->in_nanoseconds(), handle_->piece);
    return handle_->write_piece();
}

Result<void> CaptureWriter::flush() { return handle_->file->flush(); }

Result<void> CaptureWriter::close() { return flush(); }

}  // namespace tamis::runtime
