// An iterator: a line for every process.
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

SEC("iter/task") int processes(struct bpf_iter__task *ctx) {
    struct task_struct *task = ctx->task;
    if (task) BPF_SEQ_PRINTF(ctx->meta->seq, "process %d\n", task->tgid);
    return 0;
}
