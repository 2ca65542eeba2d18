// The published totals, from the public models' sizes (multiply-adds, batch 4 x 512).

#include <filesystem>

#include <doctest/doctest.h>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/opt.hpp"
#include "support/paths.hpp"

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

TEST_CASE("OPT's costs by the published rules are those of the paper's table") {
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

TEST_CASE("BLOOMZ's and FLAN-T5's rows of the paper's table, from their configurations") {
  struct Published {
    const char* name;
    std::size_t tensors;
    double forward, grad_input, grad_weight;  // G multiply-adds, batch 4; 512 tokens, T5 512 in and 64 out
  };
  const Published rows[] = {{"bloomz-560m", 293, 1196.813189, 1247.792857, 1145.423528},
                            {"bloomz-3b", 365, 6310.304154, 6469.619548, 6149.554831},
                            {"flan-t5-base", 282, 231.347454, 253.390946, 209.349771},
                            {"flan-t5-xl", 558, 2904.921473, 3022.491484, 2787.473621}};
  for (const Published& row : rows) {
    CAPTURE(row.name);
    const auto folder = testing::source_folder() / "tests/golden/configs" / row.name;
    const PaperCost cost = KnownArchitectures::read(ConfigReader::from_file(folder / "config.json"),
                                                    [](const auto& architecture) -> PaperCost {
                                                      if constexpr (requires { architecture.paper_cost(4, 512, 64); })
                                                        return architecture.paper_cost(4, 512, 64);
                                                      else if constexpr (requires { architecture.paper_cost(4, 512); })
                                                        return architecture.paper_cost(4, 512);
                                                      else
                                                        return {};
                                                    });
    CHECK(cost.tensors.size() == row.tensors);
    CHECK(static_cast<double>(cost.forward()) / 1e9 == doctest::Approx(row.forward).epsilon(1e-6));
    CHECK(static_cast<double>(cost.grad_input()) / 1e9 == doctest::Approx(row.grad_input).epsilon(1e-6));
    CHECK(static_cast<double>(cost.grad_weight()) / 1e9 == doctest::Approx(row.grad_weight).epsilon(1e-6));
  }
}
