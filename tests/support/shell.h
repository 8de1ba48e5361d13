// Other programs, run from tests.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace tamis::test {

struct Ran {
    int status;        // exit status, or 128 + the signal
    std::string text;  // what it wrote, stdout and stderr
};

inline Ran shell(std::string const& command) {
    FILE* pipe = popen(("{ " + command + "\n} 2>&1 </dev/null").c_str(), "r");
    if (!pipe) return {127, "popen failed"};
    std::string text;
    std::array<char, 4096> buffer;
    while (std::size_t const n = fread(buffer.data(), 1, buffer.size(), pipe))
        text.append(buffer.data(), n);
    int const status = pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text};
}

// /usr/sbin is not on everyone's PATH.
inline bool have_program(std::string const& name) {
    char const* path = std::getenv("PATH");
    setenv("PATH", (std::string(path ? path : "") + ":/usr/sbin:/sbin").c_str(), 1);
    return shell("command -v " + name).status == 0;
}

// A folder that goes away with this value.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "tamis-test-XXXXXX").string();
        path_ = mkdtemp(name.data()) ? name : std::string();
    }
    TemporaryFolder(TemporaryFolder const&) = delete;
    TemporaryFolder& operator=(TemporaryFolder const&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    std::string operator/(std::string const& name) const { return path_ + "/" + name; }
    std::string const& path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace tamis::test
