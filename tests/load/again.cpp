// Before a program's loader (LD_PRELOAD): the first AGAIN times that it loads a program, the kernel
// seems to have been interrupted by a signal.
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include <dlfcn.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

extern "C" long syscall(long number, ...) noexcept {
    using Call = long (*)(long, ...);
    static Call const real = reinterpret_cast<Call>(dlsym(RTLD_NEXT, "syscall"));
    static long left = std::atol(std::getenv("AGAIN"));
    va_list list;
    va_start(list, number);
    long arguments[6];
    for (long& argument : arguments) argument = va_arg(list, long);
    va_end(list);
    auto const* request = reinterpret_cast<bpf_attr const*>(arguments[1]);
    if (number == SYS_bpf && arguments[0] == BPF_PROG_LOAD &&
        request->prog_type == BPF_PROG_TYPE_XDP && left-- > 0) {
        errno = EAGAIN;
        return -1;
    }
    return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                arguments[5]);
}
