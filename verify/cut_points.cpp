#include "verify/cut_points.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "verify/symbolic_machine.h"
#include "verify/translation_clauses.h"

namespace tamis::verify {
namespace {

using symbolic::Machine;
using symbolic::Place;
using symbolic::State;
using symbolic::Type;
using symbolic::Value;

constexpr std::size_t cell_count = 2 + cbpf::memory_words;  // A, X and the cells of memory

// What a register or some bytes of the stack hold at a cut.  A packet pointer is a cell (or
// nothing) and a distance.
struct Held {
    enum class What : std::uint8_t {
        as_it_is,   // no number: `value` says all
        constant,   // number
        cell,       // of the classic program
        swapped16,  // its lowest two bytes in the opposite order
        swapped32,
        length,    // of the packet
        metadata,  // ancillary `number`
    };
    What what;
    std::uint64_t number = 0;
    Value value{};               // type, index and offset
    std::uint64_t distance = 0;  // of a packet pointer from data + X or data
    auto key() const {
        return std::tuple(what, number, value.type, value.index, value.offset, distance);
    }
    bool operator<(Held const& other) const { return key() < other.key(); }
};

// What is known at a cut: of every place all that is true of it.
struct Known {
    std::size_t classic = 0;  // the instruction that it stands before
    std::array<std::set<Held>, 11> regs;
    std::map<Place, std::pair<unsigned, std::set<Held>>> stack;  // by place: size and what it holds
    std::array<std::uint64_t, cell_count> most{};                // no cell holds more
    std::uint64_t linear = 0;   // the linear part has no fewer bytes
    std::set<unsigned> inside;  // registers that are packet pointers and not behind its end
};

class CutProof {
  public:
    CutProof(cbpf::Program const& classic, ebpf::Program const& extended, HookRow const& hook,
             translator::Options const* translation, ProveOptions const& options)
        : classic_(classic),
          extended_(extended),
          hook_(hook),
          translation_(translation),
          options_(options) {}

    std::optional<std::string> run() {
        find_cuts();
        if (auto const why = stretch(0, {})) return why;
        for (std::uint32_t const cut : order_) {
            ++next_;
            auto const known = known_.find(cut);
            if (known == known_.end()) continue;  // nothing gets there
            if (time_left().count() <= 0) return "not all stretches were decided in time";
            if (auto const why = stretch(cut, known->second)) return why;
            known_.erase(known);
        }
        return std::nullopt;
    }

  private:
    std::chrono::milliseconds time_left() const {
        return options_.timeout - std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::steady_clock::now() - begin_);
    }

    // ---- Cuts

    // Whether it is still to come.
    bool known_is_open(std::uint32_t cut) const {
        return std::find(order_.begin() + next_, order_.end(), cut) != order_.end();
    }

    std::uint32_t origin(std::size_t pc) const { return extended_.origin[pc].classic; }

    void find_cuts() {
        Terms t;
        PacketModel packet(t, runtime::Rules::kernel, &hook_);
        order_ = Machine(extended_, hook_, t, packet, Code::ours).joins();
        std::erase_if(order_, [&](std::uint32_t pc) {
            std::uint32_t const from = origin(pc);
            if (from == ebpf::Origin::none || (pc > 0 && origin(pc - 1) == from)) return true;
            // Ends are short, and one may stand for several of the classic program.
            return cbpf::find(classic_.insns[from].code)->kind == cbpf::Kind::ret;
        });
        cuts_.resize(extended_.insns.size(), false);
        for (std::uint32_t const pc : order_) cuts_[pc] = true;
    }

    // ---- One stretch of code

    struct Stretch {
        Question& q;
        ClassicState start;  // at its begin
        std::vector<std::optional<ClassicState>> states;
        std::vector<Model> samples;  // of an arrival
        std::array<Term, cell_count> cells(ClassicState const& s) const {
            std::array<Term, cell_count> out;
            out[0] = s.a, out[1] = s.x;
            std::copy(s.memory.begin(), s.memory.end(), out.begin() + 2);
            return out;
        }
    };

    std::optional<std::string> stretch(std::uint32_t from, Known const& known) {
        ProveOptions options = options_;
        options.timeout = time_left();
        Question q(runtime::Rules::kernel, &hook_, options);
        Terms& t = q.terms;
        Stretch here{q, {}, {}, {}};
        here.start = from == 0 ? first_state(t) : any_state(q, known);
        Machine machine(extended_, hook_, t, q.packet, Code::ours);
        State start = machine.initial();
        if (from != 0) restore(here, known, start);
        auto const region = machine.region(from, std::move(start), cuts_);
        if (!region) return region.error().message;
        auto const classic =
            run_symbolically(classic_.insns, known.classic, here.start, t, q.packet, here.states);
        if (!classic) return classic.error().message;

        ExtendedRun run = region->run;
        Term const ends = region->end ? region->end->guard : t.truth(false);
        if (!region->end) run.result = t.constant(0, 64), run.redirected = t.constant(0, 32);
        translation_clauses(q, *classic, run, ends, translation_);
        for (auto const& [to, state] : region->arrivals) {
            if (origin(to) < known.classic || !known_is_open(to))
                return "code is not in the order of the classic program";
            auto const& there = here.states[origin(to)];
            q.clause(fmt::format("both programs get to instruction {}, the classic one to {}", to,
                                 origin(to)),
                     t.and_(state.guard, t.not_(there ? there->guard : t.truth(false))));
            for (MapAccess const& access : run.maps)
                q.clause("nothing is counted on the way", t.and_(state.guard, access.made));
            q.clause("nothing is redirected on the way",
                     t.and_(state.guard, t.not_(t.eq(state.redirected, t.constant(0, 32)))));
        }
        if (auto const what = q.broken())
            return fmt::format("from instruction {}: {}", from, *what);
        for (auto const& [to, state] : region->arrivals) arrive(here, known, to, state);
        return std::nullopt;
    }

    static ClassicState first_state(Terms& t) {
        ClassicState s{t.truth(true), t.constant(0, 32), t.constant(0, 32), {}};
        s.memory.fill(t.constant(0, 32));
        return s;
    }

    // A, X and the cells hold anything that is not too large.
    ClassicState any_state(Question& q, Known const& known) const {
        Terms& t = q.terms;
        auto const any = [&](std::size_t cell) {
            std::uint64_t const most = known.most[cell];
            unsigned const bits =
                most == 0 ? 0 : 64U - static_cast<unsigned>(__builtin_clzll(most));
            if (bits == 0) return t.constant(0, 32);
            Term const value = t.zext(t.variable(fmt::format("cell {}", cell), bits), 32);
            q.assume(t.ule(value, t.constant(most, 32)));
            return value;
        };
        std::array<Term, cell_count> cells;
        for (std::size_t i = 0; i < cell_count; ++i) cells[i] = any(i);
        // What one place holds is one term.
        for (std::set<Held> const& held : known.regs) make_one(t, held, cells);
        for (auto const& [place, cell] : known.stack) make_one(t, cell.second, cells);
        ClassicState s{t.truth(true), cells[0], cells[1], {}};
        std::copy(cells.begin() + 2, cells.end(), s.memory.begin());
        q.assume(t.ule(t.constant(known.linear, 32), q.packet.linear()));
        return s;
    }

    static void make_one(Terms& t, std::set<Held> const& held,
                         std::array<Term, cell_count>& cells) {
        std::optional<Term> one;
        for (Held const& h : held) {
            if (h.value.type != Type::scalar) continue;
            if (h.what == Held::What::constant) one = t.constant(h.number, 32);
            if (h.what != Held::What::cell) continue;
            Term const old = cells[h.number];
            if (!one) one = old;
            for (Term& cell : cells)
                if (cell == old) cell = *one;
        }
    }

    // ---- Between what is held and what it is in a stretch

    static Term swapped(Terms& t, Term value, unsigned bytes) {
        Term out = t.extract(value, 0, 8);
        for (unsigned i = 1; i < bytes; ++i) out = t.concat(out, t.extract(value, 8 * i, 8));
        return out;
    }

    // 64 bits.
    static Term term_of(Stretch& s, Held const& held, std::array<Term, cell_count> const& cells) {
        Terms& t = s.q.terms;
        switch (held.what) {
            case Held::What::as_it_is:
            case Held::What::constant:
                return t.constant(held.number, 64);
            case Held::What::cell:
                return t.zext(cells[held.number], 64);
            case Held::What::swapped16:
                return t.zext(swapped(t, cells[held.number], 2), 64);
            case Held::What::swapped32:
                return t.zext(swapped(t, cells[held.number], 4), 64);
            case Held::What::length:
                return t.zext(s.q.packet.length(), 64);
            case Held::What::metadata:
                return t.zext(s.q.packet.ancillary(static_cast<cbpf::Anc>(held.number)), 64);
        }
        return t.constant(0, 64);
    }

    static Value value_of(Stretch& s, Held const& held, std::array<Term, cell_count> const& cells) {
        Value out = held.value;
        if (out.type != Type::scalar && out.type != Type::packet) return out;
        Terms& t = s.q.terms;
        out.term = term_of(s, held, cells);
        if (out.type == Type::packet) out.term = t.add(out.term, t.constant(held.distance, 64));
        return out;
    }

    // The first of what is held; the others are the same.
    static Value restored(Stretch& s, std::set<Held> const& held,
                          std::array<Term, cell_count> const& cells) {
        Value const value = value_of(s, *held.begin(), cells);
        for (Held const& other : held)
            if (value.type == Type::scalar)
                s.q.assume(s.q.terms.eq(value.term, value_of(s, other, cells).term));
        return value;
    }

    void restore(Stretch& s, Known const& known, State& state) {
        Terms& t = s.q.terms;
        auto const cells = s.cells(s.start);
        for (std::size_t reg = 0; reg < 10; ++reg) {
            state.regs[reg] = {};
            if (!known.regs[reg].empty()) state.regs[reg] = restored(s, known.regs[reg], cells);
        }
        for (unsigned const reg : known.inside)
            s.q.assume(t.ule(state.regs[reg].term, t.zext(s.q.packet.linear(), 64)));
        for (auto const& [place, cell] : known.stack) {
            Value value = restored(s, cell.second, cells);
            if (value.type == Type::scalar) value.term = t.low(value.term, 8 * cell.first);
            state.memory[place] = {cell.first, value};
        }
    }

    // ---- What is held where a stretch arrives

    void arrive(Stretch& s, Known const& from, std::uint32_t to, State const& state) {
        Terms& t = s.q.terms;
        s.samples.clear();
        ClassicState const& classic = *s.states[origin(to)];
        auto const cells = s.cells(classic);
        Known found;
        found.classic = origin(to);
        for (std::size_t i = 0; i < cell_count; ++i) found.most[i] = t.upper(cells[i]);
        for (std::size_t reg = 0; reg < 10; ++reg)
            found.regs[reg] = holds(s, state.guard, state.regs[reg], 8, cells);
        for (auto const& [place, cell] : state.memory) {
            if (place.region >= symbolic::first_map_region) continue;
            auto held = holds(s, state.guard, cell.value, cell.size, cells);
            if (!held.empty()) found.stack[place] = {cell.size, std::move(held)};
        }
        Term const linear = t.zext(s.q.packet.linear(), 64);
        found.linear = std::max(from.linear, checked(s, state.guard));
        for (unsigned reg = 0; reg < 10; ++reg) {
            if (state.regs[reg].type != Type::packet) continue;
            Term const end = state.regs[reg].term;
            if (!always(s, state.guard, t.ule(end, linear))) continue;
            if (!found.regs[reg].empty()) found.inside.insert(reg);
        }
        auto const [at, fresh] = known_.try_emplace(to, found);
        if (!fresh) meet(at->second, found);
    }

    // How much of the packet has been checked, whatever pointers are left of that: the largest
    // number that the linear part was compared with on the way and is no less than.
    static std::uint64_t checked(Stretch& s, Term guard) {
        Terms& t = s.q.terms;
        Term const linear = s.q.packet.linear();
        auto const is_linear = [&](Term term) {
            while (t[term].op == Op::zext) term = t[term].a;
            return term == linear || (t[linear].op == Op::zext && term == t[linear].a);
        };
        std::set<std::uint64_t, std::greater<>> candidates;
        for (Term const part : t.parts({&guard, 1})) {
            Terms::Node const& node = t[part];
            if (node.op != Op::ult) continue;
            if (is_linear(node.a) && t.is_constant(node.b)) candidates.insert(t[node.b].value);
            if (is_linear(node.b) && t.is_constant(node.a)) candidates.insert(t[node.a].value + 1);
        }
        for (std::uint64_t const bytes : candidates)
            if (always(s, guard, t.ule(t.constant(bytes, 64), t.zext(linear, 64)))) return bytes;
        return 0;
    }

    // What is known on both ways.
    static void meet(Known& known, Known const& other) {
        auto const both = [](std::set<Held>& one, std::set<Held> const& two) {
            std::erase_if(one, [&](Held const& held) { return !two.contains(held); });
        };
        for (std::size_t reg = 0; reg < known.regs.size(); ++reg)
            both(known.regs[reg], other.regs[reg]);
        for (auto at = known.stack.begin(); at != known.stack.end();) {
            auto const there = other.stack.find(at->first);
            bool const same = there != other.stack.end() && there->second.first == at->second.first;
            if (same) both(at->second.second, there->second.second);
            at = same && !at->second.second.empty() ? std::next(at) : known.stack.erase(at);
        }
        for (std::size_t i = 0; i < cell_count; ++i)
            known.most[i] = std::max(known.most[i], other.most[i]);
        known.linear = std::min(known.linear, other.linear);
        std::erase_if(known.inside, [&](unsigned reg) {
            return !other.inside.contains(reg) || known.regs[reg].empty();
        });
    }

    // All that is true of a value whenever the guard is.
    std::set<Held> holds(Stretch& s, Term guard, Value const& value, unsigned size,
                         std::array<Term, cell_count> const& cells) {
        Value const kind{value.type, {}, value.index, value.offset};
        switch (value.type) {
            case Type::scalar:
                return numbers(s, guard, value, size, cells);
            case Type::packet:
                return pointers(s, guard, value, cells);
            case Type::packet_end:
            case Type::context:
            case Type::frame:
            case Type::map:
            case Type::socket_buffer:
            case Type::dynptr:
                return {Held{Held::What::as_it_is, 0, kind, 0}};
            case Type::nothing:
            case Type::map_value:
            case Type::maybe_value:
            case Type::slice:
            case Type::maybe_slice:
                break;
        }
        return {};
    }

    std::set<Held> numbers(Stretch& s, Term guard, Value const& value, unsigned size,
                           std::array<Term, cell_count> const& cells) {
        Terms& t = s.q.terms;
        std::vector<Held> candidates;
        auto const add = [&](Held::What what, std::uint64_t number) {
            candidates.push_back({what, number, {Type::scalar}, 0});
        };
        if (t.is_constant(value.term)) add(Held::What::constant, t[value.term].value);
        for (std::size_t i = 0; i < cell_count; ++i) add(Held::What::cell, i);
        add(Held::What::swapped16, 0);
        add(Held::What::swapped32, 0);
        add(Held::What::length, 0);
        for (cbpf::Anc const number : {cbpf::Anc::vlan_tag, cbpf::Anc::vlan_tag_present})
            add(Held::What::metadata, static_cast<std::uint64_t>(number));
        std::set<Held> out;
        std::vector<std::pair<Held, Term>> open;
        for (Held const& held : candidates) {
            Term const term = t.low(term_of(s, held, cells), 8 * size);
            if (term == value.term)
                out.insert(held);
            else if (!t.is(t.eq(term, value.term), 0))
                open.emplace_back(held, term);
        }
        // A constant may be a cell's by chance of the way; of what else is the same term, the code
        // may take it for A or X only.
        auto const is_more = [](Held const& held) { return held.what != Held::What::constant; };
        bool const enough = std::any_of(out.begin(), out.end(), is_more);
        auto const is_register = [](Held const& held) {
            return held.what == Held::What::cell && held.number < 2;
        };
        for (auto const& [held, term] : open)
            if ((!enough || is_register(held)) && always(s, guard, t.eq(term, value.term)))
                out.insert(held);
        return out;
    }

    std::set<Held> pointers(Stretch& s, Term guard, Value const& value,
                            std::array<Term, cell_count> const& cells) {
        Terms& t = s.q.terms;
        Value const kind{Type::packet, {}, 0, 0};
        if (t.is_constant(value.term))
            return {Held{Held::What::constant, 0, kind, t[value.term].value}};
        // Behind data + X by a constant: that of one packet, if it is that of all.
        Term const x = t.zext(cells[1], 64);
        Term const distance = t.sub(value.term, x);
        if (t.is_constant(distance)) return {Held{Held::What::cell, 1, kind, t[distance].value}};
        Terms::Node const& node = t[value.term];
        std::uint64_t const guess =
            node.op == Op::add && t.is_constant(node.b) ? t[node.b].value : 0;
        Term const same = t.eq(value.term, t.add(x, t.constant(guess, 64)));
        if (!always(s, guard, same)) return {};
        return {Held{Held::What::cell, 1, kind, guess}};
    }

    // Whether the condition is true whenever the guard is.  A packet for which it is not decides
    // later questions about the same arrival that need not be asked then.
    static bool always(Stretch& s, Term guard, Term condition) {
        Terms& t = s.q.terms;
        Evaluation evaluation(t, {&condition, 1});
        for (Model const& sample : s.samples) {
            evaluation.run(valuation(sample));
            if (evaluation[condition] == 0) return false;
        }
        Model sample;
        Answer const broken = s.q.find(t.and_(guard, t.not_(condition)), sample);
        if (broken == Answer::yes) s.samples.push_back(std::move(sample));
        return broken == Answer::no;
    }

    cbpf::Program const& classic_;
    ebpf::Program const& extended_;
    HookRow const& hook_;
    translator::Options const* translation_;
    ProveOptions const& options_;
    std::vector<std::uint32_t> order_;  // the cuts, each behind those that lead to it
    std::ptrdiff_t next_ = 0;           // of them
    std::vector<bool> cuts_;            // by instruction
    std::map<std::uint32_t, Known> known_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

std::optional<std::string> prove_by_cuts(cbpf::Program const& classic,
                                         ebpf::Program const& extended, HookRow const& hook,
                                         translator::Options const* translation,
                                         ProveOptions const& options) {
    return CutProof(classic, extended, hook, translation, options).run();
}

}  // namespace tamis::verify
