// The published totals, from the public models' sizes (multiply-adds, batch 4 x 512).

#include <doctest/doctest.h>

#include "greentrainer/models/opt.hpp"

using namespace greentrainer;

namespace {

struct Row {
  const char* name;
  Extent layers, width, feed_forward, embedding, heads;
  bool pre_norm;
  std::size_t tensors;
  double forward, grad_input, grad_weight;  // G multiply-adds
};

}  // namespace

TEST_CASE("OPT's rows of the paper's table") {
  const Row rows[] = {{"OPT-125M", 12, 768, 3072, 768, 12, true, 196, 272.598831, 291.711222, 253.264996},
                      {"OPT-350M", 24, 1024, 4096, 512, 16, false, 388, 723.388469, 774.369182, 671.768693},
                      {"OPT-1.3B", 24, 2048, 8192, 2048, 32, true, 388, 2789.161832, 2891.121164, 2685.971663},
                      {"OPT-2.7B", 32, 2560, 10240, 2560, 32, true, 516, 5591.530476, 5761.468989, 5419.510254}};
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Opt opt;
    opt.vocab_size = 50272;
    opt.max_position_embeddings = 2048;
    opt.hidden_size = row.width;
    opt.word_embed_proj_dim = row.embedding;
    opt.ffn_dim = row.feed_forward;
    opt.num_hidden_layers = row.layers;
    opt.num_attention_heads = row.heads;
    opt.do_layer_norm_before = row.pre_norm;
    const PaperCost cost = opt.paper_cost(4, 512);
    CHECK(cost.tensors.size() == row.tensors);
    CHECK(static_cast<double>(cost.forward()) / 1e9 == doctest::Approx(row.forward).epsilon(1e-5));
    CHECK(static_cast<double>(cost.grad_input()) / 1e9 == doctest::Approx(row.grad_input).epsilon(1e-5));
    CHECK(static_cast<double>(cost.grad_weight()) / 1e9 == doctest::Approx(row.grad_weight).epsilon(1e-5));
  }
}
