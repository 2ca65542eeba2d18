// Weights that are stored in a format until they are trained.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/reference.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/executor/transient_gradients.hpp"
#include "support/golden_model.hpp"
#include "support/stored_model.hpp"
#include "support/tiny_training.hpp"

namespace greentrainer::testing {
namespace {

using B = EigenBackend<float>;

struct Gradients {
  double loss = 0;
  std::vector<std::vector<float>> values;
};

/// Of everything.
Gradients gradients_of(Model<B>& model, const Batch& batch) {
  Gradients all{.loss = 0, .values = std::vector<std::vector<float>>(model.graph().parameters().size())};
  TransientGradients<B> sink(model.backend(), model.graph(), [&](ParameterId id, Matrix<float> gradient) {
    auto& values = all.values[static_cast<std::size_t>(id)];
    values.resize(static_cast<std::size_t>(gradient.size()));
    model.backend().copy_to_host(values.data(), gradient.data, gradient.size() * 4);
  });
  all.loss = model.executor().run(make_schedule(model.graph(), training_plan(model.graph(), select_all(model.graph()))),
                                  batch, {.gradients = &sink});
  return all;
}

TensorGraph<B> encoder_decoder() { return encoder_decoder_graph<B>(96, 64, 4); }
ModelFacts encoder_decoder_facts() {
  ModelFacts facts;
  facts.vocabulary = 96;
  return facts;
}

TEST_CASE("Losses and all gradients are those of the decoded model, bit for bit") {
  for (const ProductPrecision products : {ProductPrecision::full, ProductPrecision::bf16}) {
    B backend(2, products);
    for (const char* format : {"BF16", "Q8_0", "Q4_0", "NF4"}) {
      CAPTURE(format);
      StoredAndDecodedModels<B> models(backend, encoder_decoder(), encoder_decoder_facts(),
                                       *find_storage_format(format));
      CHECK(models.stored.parameters().is_stored(0));
      const Batch batch = random_batch(96, {7, 12, 5}, 4, 6);
      const Gradients stored = gradients_of(models.stored, batch), decoded = gradients_of(models.decoded, batch);
      CHECK(stored.loss == decoded.loss);
      CHECK(stored.values == decoded.values);
    }
  }
}

TEST_CASE("In every family losses are those of the decoded model, bit for bit") {
  B backend(1);
  for (const std::string& name : golden_names()) {
    CAPTURE(name);
    Model<B> model = tiny_model(backend, name);
    StoredAndDecodedModels<B> models(backend, model.graph(), model.facts(), *find_storage_format("BF16"));
    const Batch batch = random_batch(80, {6, 9}, 4, model.facts().target_shift ? 5 : 0);
    const Gradients stored = gradients_of(models.stored, batch), decoded = gradients_of(models.decoded, batch);
    CHECK(stored.loss == decoded.loss);
    CHECK(stored.values == decoded.values);
  }
}

TEST_CASE("A stored parameter that is to be trained gets elements that are exactly its numbers") {
  B backend(1);
  StoredAndDecodedModels<B> models(backend, encoder_decoder(), encoder_decoder_facts(), *find_storage_format("Q4_0"));
  auto& parameters = models.stored.parameters();
  const std::vector<float> expected = models.decoded.parameters()[2].download();
  CHECK(parameters.values(2) == expected);
  CHECK_THROWS_AS(parameters[2], ConfigError);
  parameters.make_elements(2);
  CHECK_FALSE(parameters.is_stored(2));
  CHECK(parameters[2].download() == expected);
  parameters.make_elements(2);
  CHECK(parameters.values(2) == expected);
}

TEST_CASE("Memory of weights is what the estimate says, before and after some are trained") {
  CountingBackend<B> backend(1);
  using Counting = CountingBackend<B>;
  TensorGraph<Counting> graph = encoder_decoder_graph<Counting>(96, 64, 4);
  store_weights(graph, *find_storage_format("Q4_0"));
  ParameterStore<Counting> parameters(backend, graph);
  Selection trained = select_none(graph);
  CHECK(parameters.bytes() == weight_bytes(graph, trained, 4));
  CHECK(backend.memory().live == parameters.bytes());
  CHECK(parameters.bytes() < parameter_bytes(graph, select_all(graph), 4) / 5);
  for (const ParameterId id : {1, 4, 7}) {
    trained.insert(id);
    parameters.make_elements(id);
  }
  CHECK(parameters.bytes() == weight_bytes(graph, trained, 4));
  CHECK(backend.memory().live == parameters.bytes());
}

TEST_CASE("What is no matrix of whole blocks, or is read by more than products and lookups, is not stored") {
  TensorGraph<B> graph = encoder_decoder();
  const StorageFormat &q4 = *find_storage_format("Q4_0"), &q6 = *find_storage_format("Q6_K");
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    CHECK(graph.can_store(id, q4) == (graph.parameter(id).shape.size() == 2));
    CHECK_FALSE(graph.can_store(id, q6));  // blocks of 256
  }
  CHECK_THROWS_AS(graph.store_in(0, &q6), ConfigError);
  B backend(1);
  const Model<B> model = tiny_model(backend, "t5-tied-relu");
  const TensorGraph<B>& t5 = model.graph();  // relative positions are looked up within attention
  const auto biases = t5.find("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
  REQUIRE(biases);
  CHECK_FALSE(t5.can_store(*biases, *find_storage_format("BF16")));
}

/// A backend that reads no formats.
struct Plain : ReferenceBackend<double> {
  void matmul(Matrix<const double> x, Transpose tx, Matrix<const double> z, Transpose tz, Matrix<double> y,
              Write write) {
    ReferenceBackend<double>::matmul(x, tx, z, tz, y, write);
  }
};

TEST_CASE("A backend that reads no formats refuses stored weights by name") {
  static_assert(Backend<Plain> && !ReadsStoredWeights<Plain>);
  Plain backend;
  TensorGraph<Plain> graph = encoder_decoder_graph<Plain>(96, 64, 4);
  store_weights(graph, *find_storage_format("Q4_0"));
  CHECK_THROWS_WITH_AS(ParameterStore<Plain>(backend, graph), doctest::Contains("stored as Q4_0"), ConfigError);
}

}  // namespace
}  // namespace greentrainer::testing
