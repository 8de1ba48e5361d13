#include "verify/translation_clauses.h"

namespace tamis::verify {
namespace {

// What the program has to return and to count, as translator::Options say it.
struct Wanted {
    Term result;      // 32 bits
    Term redirected;  // 32 bits
};

Wanted wanted(Terms& t, ClassicRun const& classic, translator::Options const& o) {
    auto const value = [&](Action const& action) {
        bool const whole = action.name->arg == Arg::bytes && action.argument == 0;
        if (whole) return classic.verdict;
        return t.constant(action.name->arg == Arg::bytes
                              ? action.argument
                              : static_cast<std::uint32_t>(action.name->code),
                          32);
    };
    auto const interface = [&](Action const& action) {
        return t.constant(action.name->arg == Arg::interface ? action.argument : 0, 32);
    };
    return {t.ite(classic.accepts, value(o.match), value(o.no_match)),
            t.ite(classic.accepts, interface(o.match), interface(o.no_match))};
}

// One packet more under the right index, and its bytes; the entry that was there is not known.
void counting_clauses(Question& q, ClassicRun const& classic, ExtendedRun const& run, Term ends) {
    Terms& t = q.terms;
    Term const index = t.ite(classic.accepts, t.constant(translator::counter_matched, 32),
                             t.constant(translator::counter_passed, 32));
    Term counted = t.truth(false), twice = t.truth(false), wrong = t.truth(false);
    for (MapAccess const& access : run.maps) {
        twice = t.or_(twice, t.and_(access.made, counted));
        counted = t.or_(counted, access.made);
        q.clause("the packet is counted as what it is",
                 t.and_(access.made, t.not_(t.eq(access.key, index))), access.insn);
        Term const amounts[] = {t.constant(1, 64), t.zext(q.packet.length(), 64)};
        Term right = t.truth(access.fields.size() == 2);
        for (std::size_t i = 0; i < access.fields.size() && i < 2; ++i) {
            auto const& field = access.fields[i];
            right = t.and_(right, t.truth(field.offset == static_cast<std::int32_t>(8 * i)));
            right = t.and_(right, t.eq(field.after, t.add(field.before, amounts[i])));
        }
        wrong = t.or_(wrong, t.and_(access.made, t.not_(right)));
    }
    q.clause("every packet is counted", t.and_(ends, t.not_(counted)));
    q.clause("no packet is counted twice", twice);
    q.clause("a count grows by one packet and its bytes", wrong);
}

}  // namespace

void translation_clauses(Question& q, ClassicRun const& classic, ExtendedRun const& run, Term ends,
                         translator::Options const* translation) {
    Terms& t = q.terms;
    for (Obligation const& o : run.obligations)
        q.clause("no access is out of bounds (" + o.what + ")", o.broken, o.insn);
    Wanted const want =
        translation ? wanted(t, classic, *translation) : Wanted{classic.verdict, t.constant(0, 32)};
    q.clause("the program returns what the classic program's verdict asks for",
             t.and_(ends, t.not_(t.eq(t.low(run.result, 32), want.result))));
    q.clause("packets are redirected to the interface that was named",
             t.and_(ends, t.not_(t.eq(run.redirected, want.redirected))));
    if (translation && translation->stats) counting_clauses(q, classic, run, ends);
}

}  // namespace tamis::verify
