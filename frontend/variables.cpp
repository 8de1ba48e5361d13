#include "frontend/variables.h"

#include <array>
#include <bitset>

namespace tamis::frontend {
namespace {

using Kind = Formula::Kind;

class Versions {
  public:
    explicit Versions(Formula& formula) : formula_(formula) {}
    void run();

  private:
    // The fields that a node reads.
    template <class Visit>
    void fields(Formula::Node const& node, Visit const& visit);
    void drop_unread();

    Formula& formula_;
};

template <class Visit>
void Versions::fields(Formula::Node const& node, Visit const& visit) {
    auto const steps = [&](std::uint32_t begin, std::uint32_t end) {
        for (std::uint32_t i = begin; i < end; ++i) visit(formula_.steps[i].field);
    };
    if (node.kind == Kind::test) {
        visit(formula_.tests[node.index].field);
    } else if (node.kind == Kind::relation) {
        Relation const& relation = formula_.relations[node.index];
        steps(relation.begin, relation.end);
    } else if (node.kind == Kind::assignment) {
        Assignment const& assignment = formula_.assignments[node.index];
        steps(assignment.begin, assignment.end);
    }
}

// From the end on; what only such an assignment reads is not read.
void Versions::drop_unread() {
    std::bitset<cbpf::memory_words> read;
    for (std::size_t i = formula_.nodes.size(); i-- > 0;) {
        Formula::Node& node = formula_.nodes[i];
        if (node.kind == Kind::assignment && !read[formula_.assignments[node.index].variable]) {
            node.kind = Kind::constant;
            node.index = 1;
        }
        fields(node, [&](Field const& field) {
            if (field.at.variable != Offset::constant) read[field.at.variable] = true;
        });
    }
}

void Versions::run() {
    drop_unread();
    std::array<std::uint16_t, cbpf::memory_words> assigned{};
    for (Formula::Node const& node : formula_.nodes) {
        fields(node, [&](Field& field) {
            if (field.at.variable != Offset::constant)
                field.at.version = assigned[field.at.variable];
        });
        if (node.kind == Kind::assignment) ++assigned[formula_.assignments[node.index].variable];
    }
}

}  // namespace

Formula with_versions(Formula const& formula) {
    Formula versions = formula;
    Versions(versions).run();
    return versions;
}

}  // namespace tamis::frontend
