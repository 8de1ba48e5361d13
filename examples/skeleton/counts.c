// Attaches a filter of tamis to an interface and says what it counted when its input ends.
//   counts INTERFACE
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "filter.skel.h"  // bpftool gen skeleton filter.o name filter

struct counter {
    unsigned long long packets, bytes;
};

// A per-CPU map has a value for each CPU that there may be.
static struct counter sum(struct bpf_map* map, unsigned key) {
    int cpus = libbpf_num_possible_cpus();
    struct counter out = {0, 0}, *values = calloc(cpus, sizeof *values);
    if (!values || bpf_map_lookup_elem(bpf_map__fd(map), &key, values)) {
        perror("counters");
        exit(1);
    }
    for (int i = 0; i < cpus; i++) {
        out.packets += values[i].packets;
        out.bytes += values[i].bytes;
    }
    free(values);
    return out;
}

int main(int argc, char** argv) {
    int interface = argc == 2 ? if_nametoindex(argv[1]) : 0;
    if (interface == 0) {
        fprintf(stderr, "usage: counts INTERFACE\n");
        return 2;
    }
    struct filter* filter = filter__open_and_load();
    struct bpf_link* link = filter ? bpf_program__attach_xdp(filter->progs.pings, interface) : NULL;
    if (!link) {
        perror("cannot attach");
        filter__destroy(filter);
        return 1;
    }
    printf("attached\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    struct counter others = sum(filter->maps.pings_counters, 0),
                   matched = sum(filter->maps.pings_counters, 1);
    printf("%llu packets of %llu bytes matched, others: %s\n", matched.packets, matched.bytes,
           others.packets != 0 ? "some" : "none");
    bpf_link__destroy(link);
    filter__destroy(filter);
    return 0;
}
