// What the test's programs have in common: each counts its runs in an entry of its own.
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 32);
    __type(key, __u32);
    __type(value, __u64);
} runs SEC(".maps");

static __always_inline void count(__u32 program) {
    __u64 *value = bpf_map_lookup_elem(&runs, &program);
    if (value) __sync_fetch_and_add(value, 1);
}

char gpl[] SEC("license") = "GPL";
