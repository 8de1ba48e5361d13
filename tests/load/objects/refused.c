// A program that no verifier takes: its context has no such byte.
#include "count.h"

SEC("xdp") int beyond(struct xdp_md *ctx) {
    return *((__u8 *)ctx + 400);
}
