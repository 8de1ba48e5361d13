// A program that somebody else has to attach.
#include "count.h"

SEC("lwt_in") int route(struct __sk_buff *ctx) { return count(0), 0; }
