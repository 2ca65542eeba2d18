// Selections by name: globs, and what matches nothing.

#include "greentrainer/graph/selection.hpp"

#include <functional>

#include <doctest/doctest.h>

#include "greentrainer/models/opt.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};

TensorGraph<CostsAlone> opt_graph() {
  Opt opt;
  opt.vocab_size = 10;
  opt.hidden_size = opt.word_embed_proj_dim = 8;
  opt.ffn_dim = 16;
  opt.num_hidden_layers = 3;
  opt.num_attention_heads = 2;
  opt.max_position_embeddings = 5;
  return opt.graph<CostsAlone>();
}

/// The definition of a glob, exponential as it stands.
bool matches_by_definition(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern.front() == '*')
    return matches_by_definition(pattern.substr(1), name) ||
           (!name.empty() && matches_by_definition(pattern, name.substr(1)));
  return !name.empty() && (pattern.front() == '?' || pattern.front() == name.front()) &&
         matches_by_definition(pattern.substr(1), name.substr(1));
}

}  // namespace

TEST_CASE("globs match by their definition: all patterns up to 5 of a, b, ?, * against all names up to 6 of a, b") {
  const auto all = [](const std::string& letters, std::size_t longest) {
    std::vector<std::string> texts = {""};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].size() == longest) break;
      for (const char c : letters) texts.push_back(texts[i] + c);
    }
    return texts;
  };
  const auto names = all("ab", 6);
  std::size_t differences = 0;
  for (const std::string& pattern : all("ab?*", 5)) {
    for (const std::string& name : names)
      differences += matches_glob(pattern, name) != matches_by_definition(pattern, name) ? 1 : 0;
  }
  CHECK(differences == 0);
}

TEST_CASE("a glob of many stars takes no exponential time") {
  std::string pattern;
  for (int i = 0; i < 50; ++i) pattern += "*a";
  CHECK(!matches_glob(pattern + "b", std::string(2000, 'a')));
  CHECK(matches_glob(pattern, std::string(2000, 'a')));
}

TEST_CASE("tensors are listed by name or glob, in the graph's order, each once") {
  const auto graph = opt_graph();
  CHECK(names_of(graph,
                 select_listed(graph, {"model.decoder.layers.1.fc2.weight", "*.1.fc?.weight", "*embed_tokens*"})) ==
        std::vector<std::string>{"model.decoder.embed_tokens.weight", "model.decoder.layers.1.fc1.weight",
                                 "model.decoder.layers.1.fc2.weight"});
  CHECK(select_listed(graph, {"*"}) == select_all(graph));
  CHECK(select_listed(graph, {}) == select_none(graph));
  CHECK(select_biases(graph) == select_listed(graph, {"*.bias"}));
}

TEST_CASE("a pattern that matches nothing is named, even beside one that does") {
  const auto graph = opt_graph();
  CHECK_THROWS_WITH_AS(select_listed(graph, {"*", "*.fc7.*"}),
                       doctest::Contains("got *.fc7.*, which matches none; e.g. model.decoder.embed_tokens.weight"),
                       ConfigError);
}

TEST_CASE(
    "what is frozen is taken out of any selection, and a pattern that freezes nothing, or everything, is refused") {
  const auto graph = opt_graph();
  const Selection all = select_all(graph), biases = select_biases(graph);
  const Selection left = without_frozen(graph, all, {"*.layers.0.*", "*embed*"});
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    const std::string& name = graph.parameter(id).name;
    const bool frozen = name.find(".layers.0.") != std::string::npos || name.find("embed") != std::string::npos;
    CHECK(left.contains(id) == !frozen);
  }
  CHECK(without_frozen(graph, biases, {"*.weight"}) == biases);
  CHECK(without_frozen(graph, biases, {}) == biases);
  CHECK_THROWS_WITH_AS(without_frozen(graph, all, {"*.layers.0.*", "*.layers.9.*"}),
                       doctest::Contains("freeze: expected names or globs of the model's tensors, got *.layers.9.*"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(without_frozen(graph, biases, {"*.bias"}),
                       doctest::Contains("freeze: expected patterns that leave something to train"), ConfigError);
}
