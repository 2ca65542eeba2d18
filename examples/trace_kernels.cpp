// trace_kernels MODEL TENSOR
// A backend in a few lines: it decorates another one and tells which kernels are called. Shown: one training step that
// trains TENSOR (a name or a glob) alone.
#include <greentrainer/backends/counting/kernel_forwarder.hpp>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/greentrainer.hpp>
#include <iomanip>
#include <iostream>
namespace gt = greentrainer;

template <gt::Backend B>
class TracingBackend : public gt::KernelForwarder<TracingBackend<B>, typename B::Scalar> {
 public:
  using Scalar = typename B::Scalar;

  std::string name() const { return "tracing " + inner_.name(); }

  void* allocate(gt::Bytes bytes) { return inner_.allocate(bytes); }
  void deallocate(void* memory, gt::Bytes bytes) noexcept { inner_.deallocate(memory, bytes); }
  void copy_from_host(void* to, const void* from, gt::Bytes bytes) { inner_.copy_from_host(to, from, bytes); }
  void copy_to_host(void* to, const void* from, gt::Bytes bytes) { inner_.copy_to_host(to, from, bytes); }
  void copy(void* to, const void* from, gt::Bytes bytes) { inner_.copy(to, from, bytes); }
  void zero(void* to, gt::Bytes bytes) { inner_.zero(to, bytes); }
  void synchronize() { inner_.synchronize(); }

  // Every kernel comes through here.
  template <class Call, class... Arguments>
  void around(std::string_view kernel, gt::Flops flops, Call call, const Arguments&... arguments) {
    call(inner_, arguments...);
    std::cout << std::setw(24) << std::left << kernel << std::setw(12) << std::right << flops << " FLOPs\n";
  }
  // Of attention: pairs of a query and a key it sees. Lengths lie in the inner backend's memory; this one does not
  // look.
  static gt::Extent visible_pairs(const gt::AttentionShape&) { return 0; }

 private:
  B inner_;
};

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: trace_kernels MODEL TENSOR\n";
    return 2;
  }
  TracingBackend<gt::EigenBackend<float>> backend;
  auto model = gt::load_pretrained(argv[1], backend);
  const gt::Selection selection = gt::select_listed(model.graph(), {argv[2]});
  gt::GradientStore<decltype(backend)> gradients(backend);
  gradients.select(model.graph(), selection);
  gradients.zero();

  const std::vector<gt::Index> ids = model.tokenizer().encode("Once upon a time");
  const std::vector<gt::Example> examples = {{.input_ids = ids, .labels = ids, .source_ids = {}}};
  const std::vector<std::size_t> first = {0};
  model.executor().run(gt::make_schedule(model.graph(), selection), gt::collate(examples, first),
                       {.gradients = &gradients});
}
