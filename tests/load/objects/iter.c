// Iterators: a line for every process.
#include "count.h"

struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
} __attribute__((preserve_access_index));
struct task_struct {
    int tgid;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
} __attribute__((preserve_access_index));

static __always_inline void show(struct bpf_iter__task *ctx) {
    struct task_struct *task = ctx->task;
    if (task) BPF_SEQ_PRINTF(ctx->meta->seq, "process %d\n", task->tgid);
}

SEC("iter/task") int processes(struct bpf_iter__task *ctx) { return count(0), show(ctx), 0; }
SEC("iter.s/task") int processes_sleeping(struct bpf_iter__task *ctx) { return count(1), show(ctx), 0; }
