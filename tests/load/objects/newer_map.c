// A kind of map that came with Linux 6.9.
#include "count.h"

struct {
    __uint(type, 33);  // BPF_MAP_TYPE_ARENA
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
} arena SEC(".maps");

SEC("socket") int counts(struct __sk_buff *ctx) {
    return count(0), (long)&arena != 0;
}
