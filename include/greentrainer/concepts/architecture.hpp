#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// What config.json of one model says, as the library needs it: sizes, names of blocks, the table of tensors
/// (TensorTable), and the graph for a policy P, which takes GraphOptions where the architecture can have adapters.
template <class A, class P>
concept ArchitectureDescription = requires(const A a, Extent layer) {
  { a.vocabulary() } -> std::convertible_to<Extent>;
  { a.max_positions() } -> std::convertible_to<Extent>;
  { a.layers() } -> std::convertible_to<Extent>;
  { a.layer_prefix(layer) } -> std::convertible_to<std::string>;
  a.tensors();
  a.template graph<P>();
  {std::string_view(a.model_type)};
};

/// A family of models: the model_type by which config.json names it, and what reads that file into a description.
template <class A, class Config, class P>
concept Architecture = requires(const Config& config) {
  {std::string_view(A::model_type)};
  { A::read(config) } -> ArchitectureDescription<P>;
};

/// To be asserted beside an architecture: the compiler then names there what is missing, with the page to read, rather
/// than where a model is first loaded. Config is the reader of config.json, P a policy of graphs.
template <class A, class Config, class P>
consteval bool check_architecture() {
  static_assert(
      requires { std::string_view(A::model_type); },
      "an architecture has a static model_type, that of config.json: docs/architectures.md");
  static_assert(
      requires(const Config& config) { A::read(config); },
      "an architecture has a static read(const ConfigReader&): docs/architectures.md");
  using D = decltype(A::read(std::declval<const Config&>()));
  static_assert(
      requires(const D d) { d.tensors(); }, "a description has tensors(), its table: docs/architectures.md");
  static_assert(
      requires(const D d) { d.template graph<P>(); }, "a description has graph<P>(): docs/architectures.md");
  static_assert(ArchitectureDescription<D, P>,
                "a description has model_type, vocabulary(), max_positions(), layers() and layer_prefix(i): "
                "docs/architectures.md");
  return true;
}

}  // namespace greentrainer
