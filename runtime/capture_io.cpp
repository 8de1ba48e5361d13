#include "runtime/capture_io.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tamis::runtime {
namespace {

// The header of a file, and then what a cache holds.
constexpr std::size_t first_capacity = std::size_t{1} << 12, usual_capacity = std::size_t{1} << 18;

}  // namespace

std::string shown_name(std::string const& path, std::string_view standard) {
    return path == "-" ? std::string(standard) : fmt::format("'{}'", escape(path));
}

InputBuffer::InputBuffer(int descriptor) : descriptor_(descriptor) {
    struct stat status {};
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) {
        size_ = static_cast<std::uint64_t>(status.st_size);
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
}

InputBuffer::~InputBuffer() {
    if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
}

bool InputBuffer::would_wait() const {
    pollfd input{descriptor_, POLLIN, 0};
    return poll(&input, 1, 0) == 0;
}

// The buffer doubles only when it is full, so that what a file claims to hold costs nothing.
void InputBuffer::fill(std::size_t wanted) {
    if (begin_ > 0) {
        std::memmove(bytes_.get(), bytes_.get() + begin_, end_ - begin_);
        end_ -= std::exchange(begin_, 0);
    }
    while (end_ < wanted && !ended_) {
        if (end_ == capacity_ || (capacity_ < usual_capacity && read_ > 0)) {
            std::size_t const larger =
                read_ == 0 ? first_capacity : std::max(usual_capacity, 2 * end_);
            auto bytes = std::make_unique_for_overwrite<std::uint8_t[]>(larger);
            if (end_ > 0) std::memcpy(bytes.get(), bytes_.get(), end_);
            bytes_ = std::move(bytes);
            capacity_ = larger;
        }
        if (on_read_) on_read_(would_wait());
        ssize_t const got = ::read(descriptor_, bytes_.get() + end_, capacity_ - end_);
        if (got > 0) {
            end_ += static_cast<std::size_t>(got);
            read_ += static_cast<std::uint64_t>(got);
        } else if (got == 0 || errno != EINTR) {
            ended_ = true;
            error_ = got == 0 ? 0 : errno;
        }
    }
}

Result<std::unique_ptr<OutputFile>> OutputFile::create(std::string const& path) {
    std::string name = shown_name(path, "standard output");
    bool const ours = path != "-";
    int const descriptor =
        ours ? ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
             : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0) return fail(system_error("cannot write " + name, errno));
    return std::unique_ptr<OutputFile>(new OutputFile(std::move(name), descriptor, ours));
}

OutputFile::~OutputFile() {
    (void)flush();
    ::close(descriptor_);
}

Result<void> OutputFile::write(std::span<std::uint8_t const> whole) {
    if (pending_ + whole.size() > capacity)
        if (auto flushed = flush(); !flushed) return flushed;
    if (whole.size() > capacity) return write_out(whole);
    std::memcpy(buffer_.get() + pending_, whole.data(), whole.size());
    pending_ += whole.size();
    ends_.push_back(pending_);
    return {};
}

Result<void> OutputFile::flush() {
    auto written = write_out({buffer_.get(), std::exchange(pending_, 0)});
    ends_.clear();
    return written;
}

Result<void> OutputFile::write_out(std::span<std::uint8_t const> bytes) {
    std::size_t done = 0;
    while (done < bytes.size() && error_ == 0) {
        ssize_t const got = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
        if (got >= 0)
            done += static_cast<std::size_t>(got);
        else if (errno != EINTR)
            error_ = errno;
    }
    if (error_ != 0) {
        auto const behind = std::upper_bound(ends_.begin(), ends_.end(), done);
        written_ += behind == ends_.begin() ? 0 : *(behind - 1);
        if (ours_) (void)!ftruncate(descriptor_, static_cast<off_t>(written_));
        ends_.clear();
        return fail(system_error("cannot write " + name_, error_));
    }
    written_ += bytes.size();
    return {};
}

}  // namespace tamis::runtime
