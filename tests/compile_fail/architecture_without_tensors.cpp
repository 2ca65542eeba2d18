// expect: a description has tensors
#include <greentrainer/models/architectures.hpp>

namespace gt = greentrainer;

/// Describes a model that the graph could be made of, but no table of its tensors.
struct Description {
  std::string model_type = "mine";
  gt::Extent vocabulary() const { return 8; }
  gt::Extent max_positions() const { return 8; }
  gt::Extent layers() const { return 1; }
  std::string layer_prefix(gt::Extent) const { return "layers.0."; }
  template <class P>
  gt::TensorGraph<P> graph() const {
    return {};
  }
};
struct Mine {
  static constexpr std::string_view model_type = "mine";
  static Description read(const gt::ConfigReader&) { return {}; }
};
struct Costs {};

#ifdef CONTROL
static_assert(gt::check_architecture<gt::Llama, gt::ConfigReader, Costs>());
#else
static_assert(gt::check_architecture<Mine, gt::ConfigReader, Costs>());
#endif
