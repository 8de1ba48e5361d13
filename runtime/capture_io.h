// Bytes of capture files in and out: large buffers, no allocation for a packet, nothing allocated
// by a length that a file claims.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bpf/result.h"

namespace tamis::runtime {

// What is to come of a file or a pipe.
class InputBuffer {
  public:
    explicit InputBuffer(int descriptor);  // which becomes this buffer's; standard input stays open
    InputBuffer(InputBuffer const&) = delete;
    InputBuffer& operator=(InputBuffer const&) = delete;
    ~InputBuffer();

    // The next `wanted` bytes or more, in one piece; fewer only where the input ends.  They may be
    // changed, and are valid until the next call.
    std::span<std::uint8_t> peek(std::size_t wanted) {
        if (end_ - begin_ < wanted) fill(wanted);
        return {bytes_.get() + begin_, end_ - begin_};
    }
    void consume(std::size_t count) { begin_ += count; }  // not more than peek() gave

    std::uint64_t offset() const { return read_ - (end_ - begin_); }  // of what peek() gives
    std::uint64_t size() const { return size_; }                      // 0: not known, as of a pipe
    int error() const { return error_; }  // of the read that ended the input; 0: its end
    int descriptor() const { return descriptor_; }

    // Called in front of each read, with whether that will wait.
    void on_read(std::function<void(bool waits)> call) { on_read_ = std::move(call); }

  private:
    void fill(std::size_t wanted);
    bool would_wait() const;

    int descriptor_;
    std::unique_ptr<std::uint8_t[]> bytes_;
    std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
    std::uint64_t read_ = 0, size_ = 0;
    bool ended_ = false;
    int error_ = 0;
    std::function<void(bool)> on_read_;
};

// A file that grows by what each write() gave, whole: cut between two system calls, it is valid.
// A file that cannot grow any more is cut to what was whole.
class OutputFile {
  public:
    // Created or emptied; `-` is standard output.
    static Result<std::unique_ptr<OutputFile>> create(std::string const& path);
    OutputFile(OutputFile const&) = delete;
    OutputFile& operator=(OutputFile const&) = delete;
    ~OutputFile();  // writes what is left, and does not report

    Result<void> write(std::span<std::uint8_t const> whole);
    Result<void> flush();

  private:
    OutputFile(std::string name, int descriptor, bool ours)
        : name_(std::move(name)), descriptor_(descriptor), ours_(ours) {}
    Result<void> write_out(std::span<std::uint8_t const> bytes);

    static constexpr std::size_t capacity = std::size_t{1} << 18;

    std::string name_;
    int descriptor_;
    bool ours_;  // not standard output, which others may write to as well
    std::uint64_t written_ = 0;
    std::size_t pending_ = 0;
    std::vector<std::size_t> ends_;  // in the buffer, of what each write() gave
    int error_ = 0;                  // that lost bytes; it stays
    std::unique_ptr<std::uint8_t[]> buffer_ =
        std::make_unique_for_overwrite<std::uint8_t[]>(capacity);
};

// The name that messages give a file.
std::string shown_name(std::string const& path, std::string_view standard);

}  // namespace tamis::runtime
