#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Pieces of one block of memory with their lifetimes (both ends inclusive), in the order of their offsets. They are
/// kept in trees whose nodes summarise all pieces below, so that a search skips most of them at once. Pieces that live
/// for long and those that live for a moment have a tree each: where lifetimes are nested, as a model's are, nearly
/// every node then lives as a whole or not at all.
class PlacedStorages {
 public:
  struct Piece {
    Bytes begin = 0, end = 0;
    int born = 0, dies = 0;
  };

  void insert(const Piece& piece) {
    constexpr int moment = 64;  // steps: about those of two transformer blocks
    Node& root = piece.dies - piece.born < moment ? short_lived_ : long_lived_;
    Node second = root.insert(piece);
    if (second.is_empty()) return;
    Node first = std::exchange(root, Node());
    root.children.push_back(std::move(first));
    root.children.push_back(std::move(second));
    root.summarize();
  }

  /// Where the smallest gap begins that has `size` bytes free from `born` to `dies`, of several the lowest; behind
  /// everything that lives then, where no gap is large enough. `size` is positive.
  Bytes best_fit(Bytes size, int born, int dies) const {
    Cursor one(long_lived_, size, born, dies), other(short_lived_, size, born, dies);
    Bytes best = -1, best_gap = 0, end = 0;
    auto a = one.next(), b = other.next();
    while ((a || b) && (best < 0 || best_gap > size)) {
      const bool first = a && (!b || a->begin <= b->begin);
      const Stretch stretch = first ? *a : *b;
      if (const Bytes gap = stretch.begin - end; gap >= size && (best < 0 || gap < best_gap)) {
        best = end;
        best_gap = gap;
      }
      end = std::max(end, stretch.end);
      if (first)
        a = one.next();
      else
        b = other.next();
    }
    return best < 0 ? end : best;
  }

 private:
  /// What consecutive pieces are together.
  struct Summary {
    Bytes begin = 0, end = 0;
    Bytes most_gap = 0;  ///< no gap between them is larger while all live
    int first_birth = 0, last_birth = 0, first_death = 0, last_death = 0;

    static Summary of(const Piece& p) { return {p.begin, p.end, 0, p.born, p.born, p.dies, p.dies}; }
    void append(const Summary& next) {
      most_gap = std::max({most_gap, next.most_gap, next.begin - end});
      end = std::max(end, next.end);
      first_birth = std::min(first_birth, next.first_birth);
      last_birth = std::max(last_birth, next.last_birth);
      first_death = std::min(first_death, next.first_death);
      last_death = std::max(last_death, next.last_death);
    }
  };

  struct Node {
    static constexpr std::size_t most = 32;

    Summary summary = {};
    std::vector<Node> children = {};
    std::vector<Piece> pieces = {};  ///< of a node without children

    bool is_empty() const { return children.empty() && pieces.empty(); }

    /// Returns the second half where the node has become too large, else an empty node.
    Node insert(const Piece& piece) {
      Node second;
      if (children.empty()) {
        pieces.insert(std::upper_bound(pieces.begin(), pieces.end(), piece.begin,
                                       [](Bytes begin, const Piece& p) { return begin < p.begin; }),
                      piece);
        split(pieces, second.pieces);
      } else {
        const auto behind = std::upper_bound(children.begin() + 1, children.end(), piece.begin,
                                             [](Bytes begin, const Node& n) { return begin < n.summary.begin; });
        Node split_off = std::prev(behind)->insert(piece);
        if (!split_off.is_empty()) children.insert(behind, std::move(split_off));
        split(children, second.children);
      }
      summarize();
      if (!second.is_empty()) second.summarize();
      return second;
    }

    template <class Part>
    static void split(std::vector<Part>& parts, std::vector<Part>& second) {
      if (parts.size() <= most) return;
      const auto half = parts.begin() + static_cast<std::ptrdiff_t>(parts.size() / 2);
      second.assign(std::make_move_iterator(half), std::make_move_iterator(parts.end()));
      parts.erase(half, parts.end());
    }

    void summarize() {
      summary = children.empty() ? Summary::of(pieces.front()) : children.front().summary;
      for (std::size_t i = 1; i < children.size(); ++i) summary.append(children[i].summary);
      for (std::size_t i = 1; i < pieces.size(); ++i) summary.append(Summary::of(pieces[i]));
    }
  };

  /// Bytes between which no gap is large enough for a search.
  struct Stretch {
    Bytes begin = 0, end = 0;
  };

  /// Passes over the pieces of a tree that live at some time of a search, in the order of their offsets: in stretches
  /// where all below a node do.
  class Cursor {
   public:
    Cursor(const Node& root, Bytes size, int born, int dies) : size_(size), born_(born), dies_(dies) {
      if (!root.is_empty()) path_.emplace_back(&root, 0);
    }

    std::optional<Stretch> next() {
      while (!path_.empty()) {
        auto& [node, at] = path_.back();
        if (at < node->children.size()) {
          const Node& child = node->children[at++];
          const Summary& all = child.summary;
          if (all.last_death < born_ || dies_ < all.first_birth) continue;
          if (all.first_death >= born_ && all.last_birth <= dies_ && all.most_gap < size_)
            return Stretch{all.begin, all.end};
          path_.emplace_back(&child, 0);
        } else if (at < node->pieces.size()) {
          const Piece& piece = node->pieces[at++];
          if (piece.dies >= born_ && dies_ >= piece.born) return Stretch{piece.begin, piece.end};
        } else {
          path_.pop_back();
        }
      }
      return std::nullopt;
    }

   private:
    Bytes size_;
    int born_, dies_;
    std::vector<std::pair<const Node*, std::size_t>> path_;
  };

  Node long_lived_, short_lived_;
};

}  // namespace greentrainer
