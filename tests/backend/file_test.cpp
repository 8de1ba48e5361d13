// Files appear whole or not at all.
#include "backend/file.h"

#include <array>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/kernel_gate.h"
#include "tests/support/shell.h"

namespace tamis {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::span<std::byte const> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

std::string contents(std::string const& path) {
    std::stringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

std::size_t entries(std::string const& folder) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

unsigned mode_of(std::string const& path) {
    struct stat status {};
    EXPECT_EQ(stat(path.c_str(), &status), 0);
    return status.st_mode & 07777;
}

void expect_refused(std::string const& path, std::string const& reason,
                    std::string_view text = "new") {
    auto const written = backend::write_file(path, bytes(text));
    ASSERT_FALSE(written.has_value()) << path;
    EXPECT_EQ(written.error().fault, Fault::system);
    EXPECT_EQ(written.error().message, "cannot write '" + path + "': " + reason);
}

TEST(WriteFile, MakesAFileThatTheUmaskAllows) {
    test::TemporaryFolder const folder;
    mode_t const old = umask(027);
    ASSERT_TRUE(backend::write_file(folder / "f", bytes("hello")));
    umask(old);
    EXPECT_EQ(contents(folder / "f"), "hello");
    EXPECT_EQ(mode_of(folder / "f"), 0640U);
    EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(WriteFile, ReplacesAFileAndKeepsItsMode) {
    test::TemporaryFolder const folder;
    std::ofstream(folder / "f") << "older and longer";
    chmod((folder / "f").c_str(), 0751);
    ASSERT_TRUE(backend::write_file(folder / "f", bytes("new")));
    EXPECT_EQ(contents(folder / "f"), "new");
    EXPECT_EQ(mode_of(folder / "f"), 0751U);
    EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(WriteFile, WorksInTheCurrentFolder) {
    test::TemporaryFolder const folder;
    auto const old = fs::current_path();
    fs::current_path(folder.path());
    EXPECT_TRUE(backend::write_file("f", bytes("x")));
    fs::current_path(old);
    EXPECT_EQ(contents(folder / "f"), "x");
}

TEST(WriteFile, FollowsASymbolicLink) {
    test::TemporaryFolder const folder;
    fs::create_directory(folder / "there");
    fs::create_symlink("there/file", folder / "first");
    fs::create_symlink("first", folder / "second");
    for (char const* text : {"dangling", "existing"}) {  // the target, before
        ASSERT_TRUE(backend::write_file(folder / "second", bytes(text)));
        EXPECT_EQ(contents(folder / "there/file"), text);
        EXPECT_TRUE(fs::is_symlink(folder / "second"));
        EXPECT_TRUE(fs::is_symlink(folder / "first"));
    }
    EXPECT_EQ(entries(folder / "there"), 1U);
}

TEST(WriteFile, RefusesALoopOfSymbolicLinks) {
    test::TemporaryFolder const folder;
    fs::create_symlink("b", folder / "a");
    fs::create_symlink("a", folder / "b");
    expect_refused(folder / "a", "Too many levels of symbolic links");
}

TEST(WriteFile, RefusesWhatCannotHoldAFile) {
    test::TemporaryFolder const folder;
    std::ofstream(folder / "file") << "x";
    expect_refused(folder / "none/f", "No such file or directory");
    expect_refused(folder / "file/f", "Not a directory");
    expect_refused(folder.path(), "Is a directory");
    expect_refused(folder / std::string(300, 'n'), "File name too long");
    EXPECT_EQ(entries(folder.path()), 1U);
    expect_refused("", "No such file or directory");
}

TEST(WriteFile, WritesToDevicesAndPipesInPlace) {
    EXPECT_TRUE(backend::write_file("/dev/null", bytes("x")));
    expect_refused("/dev/full", "No space left on device");
    struct stat status {};
    ASSERT_EQ(stat("/dev/full", &status), 0);
    EXPECT_TRUE(S_ISCHR(status.st_mode));

    test::TemporaryFolder const folder;
    ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
    std::string got;
    std::thread reader([&] { got = contents(folder / "pipe"); });
    EXPECT_TRUE(backend::write_file(folder / "pipe", bytes("through")));
    reader.join();
    EXPECT_EQ(got, "through");
    EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
}

TEST(WriteFile, DashIsStandardOutput) {
    test::TemporaryFolder const folder;
    int const saved = dup(STDOUT_FILENO);
    int const file = open((folder / "out").c_str(), O_WRONLY | O_CREAT, 0600);
    dup2(file, STDOUT_FILENO);
    bool const written = backend::write_file("-", bytes("text")).has_value();
    int const full = open("/dev/full", O_WRONLY);
    dup2(full, STDOUT_FILENO);
    auto const lost = backend::write_file("-", bytes("text"));
    dup2(saved, STDOUT_FILENO);
    for (int const fd : {saved, file, full}) close(fd);
    EXPECT_TRUE(written);
    EXPECT_EQ(contents(folder / "out"), "text");
    ASSERT_FALSE(lost.has_value());
    EXPECT_EQ(lost.error().message, "cannot write standard output: No space left on device");
}

// Runs `body` in a child without root's right to ignore permissions; it exits with its result.
template <class Body>
int as_nobody(Body const& body) {
    pid_t const child = fork();
    if (child == 0) {
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(99);
        _exit(body());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

TEST(WriteFile, RespectsReadOnlyFilesAndFolders) {
    test::TemporaryFolder const folder;
    chmod(folder.path().c_str(), 0777);
    std::ofstream(folder / "f") << "old";
    chmod((folder / "f").c_str(), 0444);
    auto const refused = [&] {
        auto const written = backend::write_file(folder / "f", bytes("new"));
        return !written && written.error().message.ends_with("Permission denied") ? 0 : 1;
    };
    EXPECT_EQ(as_nobody(refused), 0);
    chmod((folder / "f").c_str(), 0666);
    chmod(folder.path().c_str(), 0555);
    EXPECT_EQ(as_nobody(refused), 0);
    chmod(folder.path().c_str(), 0755);
    EXPECT_EQ(contents(folder / "f"), "old");
    EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(WriteFile, LeavesTheOldFileWhenTheDiskIsFull) {
    TAMIS_NEED_KERNEL("root, to mount a small tmpfs", geteuid() == 0);
    test::TemporaryFolder const folder;
    if (mount("none", folder.path().c_str(), "tmpfs", 0, "size=16k") != 0)
        TAMIS_NEED_KERNEL("CAP_SYS_ADMIN, to mount a small tmpfs", false);
    std::ofstream(folder / "f") << "old";
    expect_refused(folder / "f", "No space left on device", std::string(1 << 16, 'x'));
    expect_refused(folder / "g", "No space left on device", std::string(1 << 16, 'x'));
    EXPECT_EQ(contents(folder / "f"), "old");
    EXPECT_EQ(entries(folder.path()), 1U);
    EXPECT_EQ(umount(folder.path().c_str()), 0);
}

TEST(WriteFile, EscapesTheNameInItsMessage) {
    auto const written = backend::write_file("/nowhere/\x1b[31m", bytes("x"));
    ASSERT_FALSE(written.has_value());
    EXPECT_THAT(written.error().message, HasSubstr("'/nowhere/\\x1b[31m'"));
}

}  // namespace
}  // namespace tamis
