// Registers: r6 context, r7 the object at hand, r9 the map's value.  Everything behind the
// iterator's own pointers is read with bpf_probe_read_kernel, so the verifier need not know any
// type and a pointer that went stale reads as an error.
#include "verify/kernel_walk.h"

#include <cstddef>

#include <sys/socket.h>
#include <sys/stat.h>

#include "bpf/builder.h"

namespace tamis::verify {
namespace {

using ebpf::Alu;
using ebpf::Builder;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Reg;
using ebpf::Size;

constexpr Helper probe_read_kernel{113}, seq_write{127};

// struct bpf_iter__task_file and bpf_iter__task: pointers of 8 bytes each, the number padded.
constexpr std::int32_t ctx_meta = 0, ctx_task = 8, ctx_fd = 16, ctx_file = 24, meta_seq = 0;

constexpr std::int32_t record = sizeof(WalkOrder);
constexpr std::int32_t order(std::size_t offset) { return static_cast<std::int32_t>(offset); }
constexpr std::int32_t in_record(std::size_t offset) {
    return record + static_cast<std::int32_t>(offset);
}

constexpr std::int32_t fanout_cbpf = 6, fanout_ebpf = 7;  // PACKET_FANOUT_CBPF, _EBPF
constexpr std::int32_t longest_chain = 32;

class Walk {
  public:
    Walk(WalkOffsets const& offsets, int map_fd) : at_(offsets), map_fd_(map_fd) {}

    Result<ebpf::Program> files() {
        begin(ctx_file);
        b_.load(Size::word, Reg::r1, Reg::r6, ctx_fd);
        b_.store(Size::word, Reg::r9, in_record(offsetof(WalkRecord, fd)), Reg::r1);
        b_.load(Size::dword, Reg::r1, Reg::r7, offset(at_.file_inode));
        b_.load(Size::half, Reg::r1, Reg::r1, offset(at_.inode_mode));
        b_.alu(Alu::and_, Reg::r1, S_IFMT).jump(Cond::ne, Reg::r1, S_IFSOCK, done_);
        b_.load(Size::dword, Reg::r7, Reg::r7, offset(at_.file_data));
        follow(at_.socket_sock);
        b_.load(Size::word, Reg::r8, Reg::r9, order(offsetof(WalkOrder, holder)));
        of_socket();
        of_reuseport();
        of_fanout();
        b_.jump(done_);
        return finish();
    }

    Result<ebpf::Program> tasks() {
        begin(ctx_task);
        follow(at_.task_seccomp + at_.seccomp_filter);
        b_.load(Size::word, Reg::r8, Reg::r9, order(offsetof(WalkOrder, chain)));
        // Unrolled: to the verifier a counter that only runs down could go on for ever.
        Builder::Label const here = b_.label();
        for (std::int32_t i = 0; i < longest_chain; ++i) {
            b_.jump(Cond::eq, Reg::r8, i, here);
            follow(at_.filter_prev);
        }
        b_.jump(done_).bind(here);
        follow(at_.filter_prog);
        show(Holder::seccomp);
        return finish();
    }

  private:
    static std::int32_t offset(std::uint32_t o) { return static_cast<std::int32_t>(o); }

    // r7 = the visited object, of the process that is wanted.
    void begin(std::int32_t object) {
        b_.mov(Reg::r6, Reg::r1);
        b_.load_map(Reg::r9, 0);
        b_.load(Size::dword, Reg::r2, Reg::r6, ctx_task).jump(Cond::eq, Reg::r2, 0, done_);
        b_.load(Size::dword, Reg::r7, Reg::r6, object).jump(Cond::eq, Reg::r7, 0, done_);
        b_.load(Size::word, Reg::r1, Reg::r2, offset(at_.task_tgid));
        b_.store(Size::word, Reg::r9, in_record(offsetof(WalkRecord, tgid)), Reg::r1);
        b_.load(Size::word, Reg::r2, Reg::r9, order(offsetof(WalkOrder, tgid)));
        Builder::Label const wanted = b_.label();
        b_.jump(Cond::eq, Reg::r2, 0, wanted).jump(Cond::ne, Reg::r1, Reg::r2, done_);
        b_.bind(wanted);
    }

    // r7 = *(pointer *)(r7 + at); a null pointer and one that cannot be read end the visit.
    void follow(std::uint32_t at) {
        probe(at, 8);
        b_.load(Size::dword, Reg::r7, Reg::r10, -8).jump(Cond::eq, Reg::r7, 0, done_);
    }

    // Reads up to 8 bytes at r7 + at to the top of the stack.
    void probe(std::uint32_t at, std::int32_t size) {
        b_.mov(Reg::r3, Reg::r7).alu(Alu::add, Reg::r3, offset(at));
        b_.mov(Reg::r1, Reg::r10).alu(Alu::add, Reg::r1, -8).mov(Reg::r2, size);
        b_.call(probe_read_kernel).jump(Cond::ne, Reg::r0, 0, done_);
    }

    // What follows is for this holder only; r8 is the one that was ordered.
    Builder::Label only_for(Holder holder) {
        Builder::Label const other = b_.label();
        b_.jump(Cond::ne, Reg::r8, static_cast<std::int32_t>(holder), other);
        return other;
    }

    void of_socket() {
        Builder::Label const other = only_for(Holder::socket);
        follow(at_.sock_filter);
        follow(at_.sk_filter_prog);
        show(Holder::socket);
        b_.bind(other);
    }

    void of_reuseport() {
        if (at_.sock_reuseport == WalkOffsets::absent) return;
        Builder::Label const other = only_for(Holder::reuseport);
        follow(at_.sock_reuseport);
        follow(at_.reuseport_prog);
        show(Holder::reuseport);
        b_.bind(other);
    }

    void of_fanout() {
        if (at_.packet_fanout == WalkOffsets::absent) return;
        Builder::Label const other = only_for(Holder::fanout), is_bpf = b_.label();
        probe(at_.sock_common + at_.common_family, 2);
        b_.load(Size::half, Reg::r1, Reg::r10, -8).jump(Cond::ne, Reg::r1, AF_PACKET, done_);
        follow(at_.packet_fanout);
        probe(at_.fanout_type, 1);
        b_.load(Size::byte, Reg::r1, Reg::r10, -8);
        b_.jump(Cond::eq, Reg::r1, fanout_cbpf, is_bpf).jump(Cond::ne, Reg::r1, fanout_ebpf, done_);
        b_.bind(is_bpf);
        follow(at_.fanout_prog);
        show(Holder::fanout);
        b_.bind(other);
    }

    // r7 is the program: to the one place that writes records.
    void show(Holder holder) {
        b_.store(Size::word, Reg::r9, in_record(offsetof(WalkRecord, holder)),
                 static_cast<std::int32_t>(holder));
        b_.jump(shows_);
    }

    // Copies `size` bytes (a register or a number) at r3 to the map's value.
    void copy(std::int32_t to, Builder::Operand size) {
        b_.mov(Reg::r1, Reg::r9).alu(Alu::add, Reg::r1, to).mov(Reg::r2, size);
        b_.call(probe_read_kernel).jump(Cond::ne, Reg::r0, 0, done_);
    }

    void write_record() {
        constexpr std::int32_t header = in_record(offsetof(WalkRecord, header));
        b_.mov(Reg::r3, Reg::r7);
        copy(header, offset(at_.prog_insns));
        b_.load(Size::dword, Reg::r3, Reg::r9, header + offset(at_.prog_aux));
        b_.alu(Alu::add, Reg::r3, offset(at_.aux_stack_depth));
        copy(in_record(offsetof(WalkRecord, stack_depth)), 4);

        // r8 = how many instructions this window has; the verifier follows its upper bound.
        Builder::Label const last = b_.label();
        b_.load(Size::word, Reg::r8, Reg::r9, header + offset(at_.prog_len));
        b_.load(Size::dword, Reg::r1, Reg::r9, order(offsetof(WalkOrder, skip)));
        b_.jump(Cond::ge, Reg::r1, Reg::r8, done_);
        b_.alu(Alu::sub, Reg::r8, Reg::r1);
        b_.jump(Cond::le, Reg::r8, static_cast<std::int32_t>(window), last);
        b_.mov(Reg::r8, static_cast<std::int32_t>(window));
        b_.bind(last);
        b_.store(Size::word, Reg::r9, in_record(offsetof(WalkRecord, count)), Reg::r8);
        b_.alu(Alu::lsh, Reg::r8, 3);
        b_.mov(Reg::r3, Reg::r1).alu(Alu::lsh, Reg::r3, 3).alu(Alu::add, Reg::r3, Reg::r7);
        b_.alu(Alu::add, Reg::r3, offset(at_.prog_insns));
        copy(record + static_cast<std::int32_t>(sizeof(WalkRecord)), Reg::r8);

        b_.load(Size::dword, Reg::r1, Reg::r6, ctx_meta);
        b_.load(Size::dword, Reg::r1, Reg::r1, meta_seq);
        b_.mov(Reg::r2, Reg::r9).alu(Alu::add, Reg::r2, record);
        b_.mov(Reg::r3, Reg::r8);
        b_.alu(Alu::add, Reg::r3, static_cast<std::int32_t>(sizeof(WalkRecord)));
        b_.call(seq_write);
    }

    Result<ebpf::Program> finish() {
        b_.bind(shows_);
        write_record();
        b_.bind(done_).mov(Reg::r0, 0).exit();
        auto program = b_.finish();
        if (!program) return program;
        // The map's value itself rather than the map.
        for (ebpf::Insn& insn : program->insns)
            if (ebpf::is_ld_imm64(insn)) {
                insn.src = static_cast<unsigned>(ebpf::Pseudo::map_value) & 15;
                insn.imm = map_fd_;
            }
        return program;
    }

    WalkOffsets const& at_;
    int map_fd_;
    Builder b_;
    Builder::Label done_ = b_.label(), shows_ = b_.label();
};

}  // namespace

Result<ebpf::Program> file_walk(WalkOffsets const& offsets, int map_fd) {
    return Walk(offsets, map_fd).files();
}

Result<ebpf::Program> task_walk(WalkOffsets const& offsets, int map_fd) {
    return Walk(offsets, map_fd).tasks();
}

}  // namespace tamis::verify
