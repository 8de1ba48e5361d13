// What a filter asks of a packet: tests of fields, joined by and, or and not.  Nothing of the
// language is left, nothing of the instruction set is there yet; optimisers work on this.
//
// Everything lies in postfix order: operands right before their operator, in the order in which
// they are evaluated.  So loops do where trees would need recursion, however many terms there are.
#pragma once

#include <cstdint>
#include <string>

#include "bpf/cbpf.h"
#include "bpf/diagnostic.h"
#include "frontend/layers.h"
#include "frontend/list.h"

namespace tamis::frontend {

enum class Base : std::uint8_t {
    packet,     // packet[at]
    transport,  // packet[4 * (packet[header] & 15) + at]: behind an IPv4 header at `header`
    length,     // the packet's length on the wire
    variable,   // the variable of `at` itself
};

struct Field {
    Base base = Base::packet;
    std::uint8_t size = 0;  // 1, 2 or 4 bytes, most significant first
    Offset at{};
    std::uint32_t header = 0;  // with the variable of `at`
    bool operator==(Field const&) const = default;
};
// Offsets up to here mean the same under both rules.
inline constexpr std::uint32_t largest_offset = 0x7fffffff;
// What the kernel knows about a packet, instead of a place in it.
constexpr bool is_metadata(Field const& field) {
    return field.base == Base::packet && field.at.value > largest_offset;
}

// (field & mask) cond value; for Cond::set, whether field and value share a bit.  A field outside
// of the packet ends the whole filter with no match.
struct Test {
    Field field;
    cbpf::Cond cond = cbpf::Cond::eq;
    std::uint32_t mask = ~std::uint32_t{0};
    std::uint32_t value = 0;
    bool operator==(Test const&) const = default;
};

// Arithmetic, in postfix order.
struct Step {
    enum class Kind : std::uint8_t {
        number,  // value
        field,   // field
        load,    // like field, at an offset that is increased by the operand
        negate,
        binary,
    };
    Kind kind;
    cbpf::Alu op = cbpf::Alu::add;
    Field field{};
    std::uint32_t value = 0;
    bool operator==(Step const&) const = default;
};

// variable = steps[begin .. end): always true, and done only where evaluation gets there, so that
// `(a and v = 1) or true` is no constant.  Variables are words of the program's memory that begin
// as 0; offsets that only the packet tells are kept there.
struct Assignment {
    std::uint8_t variable;
    std::uint32_t begin, end;
};

// steps[begin .. middle) cond steps[middle .. end)
struct Relation {
    cbpf::Cond cond;
    std::uint32_t begin, middle, end;
};

struct Formula {
    enum class Kind : std::uint8_t {
        test,
        relation,
        assignment,
        constant,
        negation,
        conjunction,
        disjunction,
    };
    struct Node {
        Kind kind;
        // Of a test, a relation or an assignment: into the list of its kind.  Of a constant: 0 or
        // 1.  Of an operator: the nodes of its tree.
        std::uint32_t index;
        Span span;  // the text it came from
        // The tree is nodes[i + 1 - size() .. i].
        std::uint32_t size() const { return kind < Kind::negation ? 1 : index; }
    };

    List<Node> nodes;
    List<Test> tests;  // some serve several nodes
    List<Relation> relations;
    List<Assignment> assignments;
    List<Step> steps;
    std::uint8_t variables = 0;  // how many; the last words of the memory hold them

    // The trees that are added from here on can become operands of one node.
    std::size_t mark() const { return nodes.size(); }
    void add(Test const& test, Span span);
    void add(Relation const& relation, Span span);
    void add(Assignment const& assignment, Span span);
    void add(bool constant, Span span);
    void negate();                                                 // the last tree
    void all(std::size_t mark) { join(Kind::conjunction, mark); }  // the trees since the mark
    void any(std::size_t mark) { join(Kind::disjunction, mark); }
    void drop_tree();                  // and its tests: arithmetic alone stays
    void put_first(std::size_t mark);  // the trees since the mark: true before all else can be

  private:
    void join(Kind kind, std::size_t mark);
};

// The tree, operators first, one node per line.
std::string dump(Formula const& formula);

}  // namespace tamis::frontend
