// A program at a trace point of processes.
#include <stdbool.h>

#include <asm/ptrace.h>

#include "count.h"

#include <bpf/usdt.bpf.h>

SEC("usdt/tamis:event") int at_usdt(struct pt_regs *ctx) {
    long argument = 0;
    bpf_usdt_arg(ctx, 0, &argument);
    return count(argument), 0;
}
