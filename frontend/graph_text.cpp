#include "frontend/graph_text.h"

#include <bit>
#include <map>
#include <span>
#include <vector>

#include <fmt/core.h>

#include "bpf/cbpf.h"

namespace tamis::frontend {
namespace {

using Target = Graph::Target;
using Piece = Graph::Piece;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::size_t shown = 6;  // ranges of a long list

std::string name(Target target) {
    return target == Graph::accept   ? "accept"
           : target == Graph::reject ? "reject"
                                     : fmt::format("n{}", target);
}

std::string variable(unsigned number) { return fmt::format("v{}", number); }

std::string plus(Offset const& offset) {
    if (offset.variable == Offset::constant) return fmt::format("{}", offset.value);
    return fmt::format("{} + {}", variable(offset.variable), offset.value);
}

std::string what(Key const& key, Span span, std::string_view text) {
    auto const words = [&] { return escape(text.substr(span.begin, span.end - span.begin)); };
    if (key.role == Key::Role::assign)
        return fmt::format("{} = what '{}' has to know",
                           variable(static_cast<unsigned>(std::countr_zero(key.writes))), words());
    if (key.relation != Key::no_relation)
        return fmt::format("{} '{}'", key.value ? "the value in" : "whether", words());
    Field const& field = key.field;
    std::string place;
    if (key.role == Key::Role::point)
        return field.base == Base::transport ? fmt::format("X = 4*([{}]&0xf)", field.header)
                                             : fmt::format("X = {}", field.at.value);
    if (key.role == Key::Role::counted) {
        place = fmt::format("[X + {}:{}]", field.at.value, field.size);
        return key.mask == all_ones ? place : fmt::format("{} & {:#x}", place, key.mask);
    }
    switch (field.base) {
        case Base::packet:
            place = fmt::format("[{}:{}]", plus(field.at), field.size);
            if (field.at.variable == Offset::constant)
                if (auto const* const metadata = cbpf::find_ancillary(field.at.value))
                    place = metadata->asm_name;
            break;
        case Base::transport: {
            Offset const header{field.header, field.at.variable};
            place = fmt::format("[4*([{}]&0xf) + {}:{}]", plus(header), plus(field.at), field.size);
            break;
        }
        case Base::length:
            place = "length";
            break;
        case Base::variable:
            place = variable(field.at.variable);
            break;
    }
    return key.mask == all_ones ? place : fmt::format("{} & {:#x}", place, key.mask);
}

std::string range(Piece const& piece, std::uint32_t max) {
    if (piece.low == 0 && piece.high == max) return "any value";
    if (piece.low == piece.high) return fmt::format("{:#x}", piece.low);
    if (piece.low == 0) return fmt::format("up to {:#x}", piece.high);
    if (piece.high == max) return fmt::format("from {:#x}", piece.low);
    return fmt::format("{:#x}..{:#x}", piece.low, piece.high);
}

// The ranges that lead to each target; the target with the most of them stands last, as
// `otherwise`.
struct Edge {
    Target target;
    std::string values;
};
std::vector<Edge> edges(Graph const& graph, Graph::Node const& node) {
    std::map<Target, std::vector<Piece>> by_target;
    for (std::uint32_t p = node.begin; p < node.end; ++p)
        by_target[graph.pieces[p].target].push_back(graph.pieces[p]);
    auto const width = [](std::vector<Piece> const& pieces) {
        std::uint64_t sum = 0;
        for (Piece const& piece : pieces) sum += std::uint64_t{piece.high} - piece.low + 1;
        return sum;
    };
    auto otherwise = by_target.begin();
    for (auto at = by_target.begin(); at != by_target.end(); ++at)
        if (width(at->second) > width(otherwise->second)) otherwise = at;
    std::vector<Edge> result;
    std::uint32_t const max = graph.keys[node.key].max;
    for (auto const& [target, pieces] : by_target) {
        if (target == otherwise->first && by_target.size() > 1) continue;
        std::string values;
        for (std::size_t i = 0; i < pieces.size() && i < shown; ++i)
            values += (i > 0 ? ", " : "") + range(pieces[i], max);
        if (pieces.size() > shown) values += fmt::format(" and {} more", pieces.size() - shown);
        result.push_back({target, values});
    }
    if (by_target.size() > 1) result.push_back({otherwise->first, "otherwise"});
    return result;
}

}  // namespace

std::string listing(Graph const& graph, std::string_view text) {
    if (Graph::is_end(graph.root)) return name(graph.root) + "\n";
    std::string out;
    for (std::uint32_t i = 0; i < graph.nodes.size(); ++i) {
        Graph::Node const& node = graph.nodes[i];
        std::string_view const words =
            text.substr(node.span.begin, node.span.end - node.span.begin);
        out += fmt::format("n{}: {}  ; {}\n", i, what(graph.keys[node.key], node.span, text),
                           escape(words.substr(0, 60)));
        for (Edge const& edge : edges(graph, node))
            out += fmt::format("    {} -> {}\n", edge.values, name(edge.target));
    }
    return out;
}

std::string dot(Graph const& graph, std::string_view text) {
    std::string out = "digraph filter {\n    node [shape=box];\n";
    if (Graph::is_end(graph.root)) return out + fmt::format("    {};\n}}\n", name(graph.root));
    auto const quoted = [](std::string const& plain) {
        std::string result = "\"";
        for (char const c : plain) {
            if (c == '"' || c == '\\') result += '\\';
            result += c;
        }
        return result + '"';
    };
    for (std::uint32_t i = 0; i < graph.nodes.size(); ++i) {
        Graph::Node const& node = graph.nodes[i];
        out += fmt::format("    n{} [label={}];\n", i,
                           quoted(what(graph.keys[node.key], node.span, text)));
        for (Edge const& edge : edges(graph, node))
            out += fmt::format("    n{} -> {} [label={}];\n", i, name(edge.target),
                               quoted(edge.values));
    }
    return out + "    accept [shape=ellipse];\n    reject [shape=ellipse];\n}\n";
}

}  // namespace tamis::frontend
