#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Pieces of text with ids, searched for those that a text begins with: a tree whose edges are bytes.
class PieceTrie {
 public:
  using Pieces = std::vector<std::pair<std::string_view, Index>>;

  /// Pieces must be distinct and not empty, ids at least 0.
  explicit PieceTrie(Pieces pieces) {
    std::sort(pieces.begin(), pieces.end());
    // Level by level, so that the children of a node lie side by side. A node stands for the pieces [begin, end), which
    // share their first `depth` bytes.
    struct Range {
      std::size_t begin, end, depth;
    };
    std::vector<Range> ranges(1, {0, pieces.size(), 0});
    nodes_.resize(1);
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      auto [begin, end, depth] = ranges[node];
      if (begin < end && pieces[begin].first.size() == depth) nodes_[node].id = pieces[begin++].second;
      nodes_[node].first_child = static_cast<std::uint32_t>(nodes_.size());
      while (begin < end) {
        const char label = pieces[begin].first[depth];
        std::size_t next = begin;
        while (next < end && pieces[next].first[depth] == label) ++next;
        nodes_.push_back({.label = static_cast<unsigned char>(label)});
        ranges.push_back({begin, next, depth + 1});
        begin = next;
      }
      nodes_[node].end_child = static_cast<std::uint32_t>(nodes_.size());
    }
  }

  /// Calls f(length, id) for every piece that `text` begins with, the shortest first. Returns how many bytes were
  /// compared.
  template <class F>
  std::size_t for_each_prefix(std::string_view text, F&& f) const {
    const Node* node = nodes_.data();
    for (std::size_t length = 1; length <= text.size(); ++length) {
      const auto label = static_cast<unsigned char>(text[length - 1]);
      const Node* end = nodes_.data() + node->end_child;
      node = std::lower_bound(nodes_.data() + node->first_child, end, label,
                              [](const Node& child, unsigned char wanted) { return child.label < wanted; });
      if (node == end || node->label != label) return length;
      if (node->id >= 0) f(length, node->id);
    }
    return text.size();
  }

 private:
  struct Node {
    std::uint32_t first_child = 0;  // sorted by label, up to end_child
    std::uint32_t end_child = 0;
    Index id = -1;  // none: no piece ends here
    unsigned char label = 0;
  };

  std::vector<Node> nodes_;  // the first is the root
};

}  // namespace greentrainer
