// The solver: z3 (z3-prover's C++ interface, Debian's libz3-dev).
#include <condition_variable>
#include <mutex>
#include <thread>

#include <z3++.h>

#include "verify/solver.h"

namespace tamis::verify {
namespace {

// Packet bytes are an uninterpreted function of their offset.  The terms reach the solver already
// simplified; what is left is a matter of bits.
z3::tactic strategy(z3::context& context) {
    z3::params all_lemmas(context);
    all_lemmas.set("div0_ackermann_limit", 100'000'000U);
    return z3::tactic(context, "simplify") & z3::tactic(context, "propagate-values") &
           z3::tactic(context, "solve-eqs") &
           z3::with(z3::tactic(context, "ackermannize_bv"), all_lemmas) &
           z3::tactic(context, "simplify") & z3::tactic(context, "bit-blast") &
           z3::tactic(context, "sat");
}

// Interrupts the solver when time is up.  Its own timer (of 4.8.12) sometimes keeps an answer back
// until then.
class Deadline {
  public:
    Deadline(z3::context& context, std::chrono::milliseconds time)
        : thread_([this, &context, time] {
              std::unique_lock lock(mutex_);
              if (!over_.wait_for(lock, time, [this] { return answered_; })) context.interrupt();
          }) {}
    Deadline(Deadline const&) = delete;
    Deadline& operator=(Deadline const&) = delete;
    ~Deadline() {
        {
            std::lock_guard const lock(mutex_);
            answered_ = true;
        }
        over_.notify_one();
        thread_.join();
    }

  private:
    std::mutex mutex_;
    std::condition_variable over_;
    bool answered_ = false;
    std::thread thread_;
};

}  // namespace

struct Solver::State {
    explicit State(Terms const& t)
        : terms(t), byte(z3::function("byte", context.bv_sort(32), context.bv_sort(8))) {}

    Terms const& terms;
    z3::context context;
    z3::func_decl byte;
    std::vector<Z3_ast> made{};  // by id; null where not made yet.  `kept` holds the references
    std::vector<z3::expr> kept{};

    z3::expr expr(Term term) { return {context, made[term.id]}; }

    void keep(Term term, z3::expr const& e) {
        kept.push_back(e);
        made[term.id] = e;
    }

    // All parts of the assertions, operands first.
    void make(std::vector<Term> const& parts) {
        made.resize(std::max(made.size(), terms.size()), nullptr);
        for (Term const term : parts)
            if (made[term.id] == nullptr) keep(term, translate(term));
    }

    z3::expr translate(Term term) {
        Terms::Node const& n = terms[term];
        auto const a = [&] { return expr(n.a); };
        auto const b = [&] { return expr(n.b); };
        auto const wrap = [&](Z3_ast ast) { return z3::expr(context, ast); };
        unsigned const width = n.width;
        switch (n.op) {
            case Op::constant:
                return width == 0 ? context.bool_val(n.value != 0)
                                  : context.bv_val(std::uint64_t{n.value}, width);
            case Op::variable: {
                std::string const& name = terms.name(term);
                return width == 0 ? context.bool_const(name.c_str())
                                  : context.bv_const(name.c_str(), width);
            }
            case Op::byte:
                return byte(a());
            case Op::not_:
                return width == 0 ? !a() : ~a();
            case Op::and_:
                return width == 0 ? a() && b() : a() & b();
            case Op::or_:
                return width == 0 ? a() || b() : a() | b();
            case Op::xor_:
                return width == 0 ? a() != b() : a() ^ b();
            case Op::ite:
                return z3::ite(a(), b(), expr(n.c));
            case Op::eq:
                return a() == b();
            case Op::ult:
                return z3::ult(a(), b());
            case Op::slt:
                return z3::slt(a(), b());
            case Op::add:
                return a() + b();
            case Op::sub:
                return a() - b();
            case Op::mul:
                return a() * b();
            case Op::udiv:
                return z3::udiv(a(), b());
            case Op::urem:
                return z3::urem(a(), b());
            case Op::sdiv:
                return wrap(Z3_mk_bvsdiv(context, a(), b()));
            case Op::srem:
                return z3::srem(a(), b());
            case Op::shl:
                return z3::shl(a(), b());
            case Op::lshr:
                return z3::lshr(a(), b());
            case Op::ashr:
                return z3::ashr(a(), b());
            case Op::concat:
                return z3::concat(a(), b());
            case Op::extract:
                return a().extract(static_cast<unsigned>(n.value) + width - 1,
                                   static_cast<unsigned>(n.value));
            case Op::zext:
                return z3::zext(a(), width - terms.width(n.a));
            case Op::sext:
                return z3::sext(a(), width - terms.width(n.a));
        }
        return context.bool_val(false);
    }

    std::uint64_t value(z3::model const& model, Term term) {
        z3::expr const v = model.eval(expr(term), true);
        return terms.width(term) == 0 ? (v.is_true() ? 1 : 0) : v.get_numeral_uint64();
    }

    Model read(z3::model const& model, std::vector<Term> const& parts) {
        Model out;
        out.variables.resize(terms.variables().size());
        for (Term const term : parts) {
            Terms::Node const& node = terms[term];
            if (node.op == Op::variable) out.variables[node.value] = value(model, term);
            if (node.op == Op::byte)
                out.bytes[static_cast<std::uint32_t>(value(model, node.a))] =
                    static_cast<std::uint8_t>(value(model, term));
        }
        return out;
    }

    Answer ask(std::span<Term const> assertions, std::chrono::milliseconds timeout, Model* model) {
        std::vector<Term> const parts = terms.parts(assertions);
        make(parts);
        z3::solver solver = strategy(context).mk_solver();
        for (Term const assertion : assertions) solver.add(expr(assertion));
        Deadline const deadline(context, timeout);
        switch (solver.check()) {
            case z3::unsat:
                return Answer::no;
            case z3::sat:
                if (model) *model = read(solver.get_model(), parts);
                return Answer::yes;
            case z3::unknown:
                break;
        }
        return Answer::unknown;
    }
};

bool Solver::available() { return true; }
Solver::Solver(Terms const& terms) : state_(std::make_unique<State>(terms)) {}
Solver::~Solver() = default;

Answer Solver::ask(std::span<Term const> assertions, std::chrono::milliseconds timeout,
                   Model* model) {
    for (Term const assertion : assertions)
        if (state_->terms.is(assertion, 0)) return Answer::no;
    try {
        return state_->ask(assertions, timeout, model);
    } catch (z3::exception const&) {
        return Answer::unknown;  // out of memory, or of time in a tactic
    }
}

}  // namespace tamis::verify
