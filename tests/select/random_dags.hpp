#pragma once

#include <cstddef>
#include <random>
#include <vector>

#include "gradient_dags.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer::testing {

inline int pick(std::mt19937& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

inline constexpr int shapes = 6;

/// A DAG of at most 12 items of one of the shapes: chain, siblings, residual pre-norm blocks, post-norm blocks,
/// encoder-decoder, anything.
inline void add_small_shape(DagBuilder& b, int shape, std::mt19937& random) {
  constexpr int most_items = 12;
  Stream stream;
  if (shape == 0) {
    const int length = pick(random, 1, 10);
    for (int k = 0; k < length; ++k) {
      b.item(1, stream);
      stream = {b.node(1, stream)};
    }
  } else if (shape == 1) {  // groups of siblings that must all be passed
    for (int k = pick(random, 1, 3); k > 0; --k) {
      Stream next;
      for (int sibling = pick(random, 2, 3); sibling > 0; --sibling) {
        const int node = b.node(1, stream);
        b.item(1, {node});
        next.push_back(node);
      }
      stream = next;
    }
    b.item(1, stream);
  } else if (shape == 2 || shape == 3) {
    const NormStyle style = shape == 2 ? NormStyle::pre : NormStyle::post;
    for (int k = pick(random, 1, 2); k > 0; --k) {
      stream = pick(random, 0, 1) == 0 ? build::attention(b, {}, style, stream)
                                       : build::feed_forward(b, {}, style, stream, pick(random, 0, 1) == 0);
    }
    b.item(1, stream);
  } else if (shape == 4) {
    Stream memory;
    std::vector<int> scores;
    for (int k = pick(random, 1, 3); k > 0; --k) {
      const int query = b.node(1, stream);  // a cross-attention in short
      const int value = b.node(1, stream);
      b.item(1, {query});
      b.item(1, {value});
      memory.push_back(b.node(1, {value}));
      if (pick(random, 0, 1) == 0) memory.push_back(b.node(1, {value, query}));
      stream = {b.node(1, {query})};
      if (pick(random, 0, 1) == 0) {
        scores.push_back(b.node(1, stream));
        b.item(1, {scores.back()});
        stream = {scores.back()};
      }
    }
    b.item(1, stream);
    if (pick(random, 0, 1) == 0) b.item(1, scores);
    Stream both = stream;
    for (int k = pick(random, 1, 2); k > 0; --k) {
      b.item(1, memory);
      memory = {b.node(1, memory)};
    }
    both.insert(both.end(), memory.begin(), memory.end());
    b.item(1, both);
  } else {
    const int nodes = pick(random, 0, 9);
    for (int n = 0; n < nodes; ++n) {
      Stream needs;
      for (int m = 0; m < n; ++m) {
        if (pick(random, 0, 3) == 0) needs.push_back(m);
      }
      b.node(1, needs);
    }
    for (int i = pick(random, 1, 9); i > 0; --i) {
      Stream needs;
      for (int m = 0; m < nodes; ++m) {
        if (pick(random, 0, 3) == 0) needs.push_back(m);
      }
      b.item(1, needs);
    }
  }
  // Attention comes with 8 to 10 items a block: keep a random sample, so that exhaustive search stays quick.
  while (b.dag.items.size() > most_items) {
    b.dag.items.erase(b.dag.items.begin() + pick(random, 0, static_cast<int>(b.dag.items.size()) - 1));
  }
}

}  // namespace greentrainer::testing
