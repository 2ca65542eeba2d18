#include <doctest/doctest.h>

#include "backends/attention_cases.hpp"
#include "backends/backend_list.hpp"
#include "backends/gradient_check.hpp"

namespace greentrainer::testing {
namespace {

constexpr Extent rows = 5, cols = 19;

TEST_CASE_TEMPLATE_DEFINE("Gradients of products and bias are the slopes of the forward kernels", B, products) {
  GradientCheck<B> check({{"x", rows, 7}, {"w", cols, 7}, {"bias", 1, cols}}, {rows, cols});
  check.forward = [](B& b, auto& d) {
    b.matmul(d.in(0), Transpose::no, d.in(1), Transpose::yes, d.y(), Write::overwrite);
    b.add_bias(d.y(), d.vector(2));
  };
  check.backward = [](B& b, auto& d) {
    b.matmul(d.dy(), Transpose::no, d.in(1), Transpose::no, d.grad(0), Write::overwrite);
    b.matmul(d.dy(), Transpose::yes, d.in(0), Transpose::no, d.grad(1), Write::accumulate);
    b.bias_grad(d.dy(), d.grad(2).data);
  };
  check.run();
}
TEST_CASE_TEMPLATE_APPLY(products, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("Gradients of embedding and of gathered rows are the slopes of the forward kernels", B,
                          rows_of_tables) {
  GradientCheck<B> embedding({{"table", 4, cols}}, {rows, cols}, {3, 0, 3, 2, 3});
  embedding.forward = [](B& b, auto& d) { b.embedding_forward(d.in(0), d.index(), d.y()); };
  embedding.backward = [](B& b, auto& d) { b.embedding_grad_weight(d.dy(), d.index(), d.grad(0)); };
  embedding.run();

  GradientCheck<B> gather({{"x", 9, cols}}, {3, cols}, {1, 4, 8});
  gather.forward = [](B& b, auto& d) { b.gather_rows(d.in(0), d.index(), d.y()); };
  gather.backward = [](B& b, auto& d) { b.scatter_rows(d.dy(), d.index(), d.grad(0), Write::overwrite); };
  gather.run();
}
TEST_CASE_TEMPLATE_APPLY(rows_of_tables, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("Gradients of norms are the slopes of the forward kernels", B, norms) {
  GradientCheck<B> layer({{"x", rows, cols}, {"weight", 1, cols}, {"bias", 1, cols}}, {rows, cols}, {}, {rows, 2});
  layer.forward = [](B& b, auto& d) {
    b.layer_norm_forward(d.in(0), d.vector(1), d.vector(2), 1e-5, d.y(), d.stats());
  };
  layer.backward = [](B& b, auto& d) {
    b.layer_norm_grad_input(d.dy(), d.in(0), d.vector(1), d.stats(), d.grad(0), Write::overwrite);
    b.layer_norm_grad_weight(d.dy(), d.in(0), d.stats(), d.grad(1).data);
    b.bias_grad(d.dy(), d.grad(2).data);
  };
  layer.run();

  for (const double offset : {0.0, 1.0}) {
    CAPTURE(offset);
    GradientCheck<B> rms({{"x", rows, cols}, {"weight", 1, cols}}, {rows, cols}, {}, {rows, 1});
    rms.forward = [=](B& b, auto& d) { b.rms_norm_forward(d.in(0), d.vector(1), offset, 1e-5, d.y(), d.stats()); };
    rms.backward = [=](B& b, auto& d) {
      b.rms_norm_grad_input(d.dy(), d.in(0), d.vector(1), offset, d.stats(), d.grad(0), Write::overwrite);
      b.rms_norm_grad_weight(d.dy(), d.in(0), d.stats(), d.grad(1).data);
    };
    rms.run();
  }
}
TEST_CASE_TEMPLATE_APPLY(norms, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("Gradients of activations are the slopes of the forward kernels", B, activations) {
  for (const Activation f : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu,
                             Activation::tanh, Activation::relu_squared, Activation::sigmoid}) {
    CAPTURE(name_of(f));
    GradientCheck<B> plain({{"x", rows, cols}}, {rows, cols});
    plain.forward = [f](B& b, auto& d) { b.activation_forward(f, d.in(0), d.y()); };
    plain.backward = [f](B& b, auto& d) {
      b.activation_grad(f, d.dy(), f == Activation::relu ? d.y() : d.in(0), d.grad(0));
    };
    plain.run();

    GradientCheck<B> gated({{"gate", rows, cols}, {"up", rows, cols}}, {rows, cols});
    gated.forward = [f](B& b, auto& d) { b.gated_forward(f, d.in(0), d.in(1), d.y()); };
    gated.backward = [f](B& b, auto& d) {
      b.gated_grad_gate(f, d.dy(), d.in(0), d.in(1), d.grad(0));
      b.gated_grad_up(f, d.dy(), d.in(0), d.grad(1));
    };
    gated.run();
  }
}
TEST_CASE_TEMPLATE_APPLY(activations, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("The gradient of the clamped gate is the slope of the forward kernel", B, clamped_gate) {
  for (const ClampedGate& clamped : {ClampedGate{}, ClampedGate{.slope = 0.5, .limit = 0.75}}) {
    CAPTURE(clamped.limit);
    GradientCheck<B> check({{"pairs", rows, 2 * cols}}, {rows, cols});
    check.forward = [=](B& b, auto& d) { b.clamped_gate_forward(clamped, d.in(0), d.y()); };
    check.backward = [=](B& b, auto& d) { b.clamped_gate_grad(clamped, d.dy(), d.in(0), d.grad(0)); };
    check.run();
  }
}
TEST_CASE_TEMPLATE_APPLY(clamped_gate, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("The gradient of a dropout drops what the forward kernel dropped", B, dropout) {
  const DropoutMask mask{.stream = {1, "dropout"}, .probability = 0.3};
  GradientCheck<B> check({{"x", rows, cols}}, {rows, cols});
  check.forward = [mask](B& b, auto& d) { b.dropout(d.in(0), mask, d.y(), Write::overwrite); };
  check.backward = [mask](B& b, auto& d) { b.dropout(d.dy(), mask, d.grad(0), Write::accumulate); };
  check.run();
}
TEST_CASE_TEMPLATE_APPLY(dropout, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("Gradients of routing and of scaled rows are the slopes of the forward kernels", B, routes) {
  for (const RoutingShape& routing : {RoutingShape{1, false}, RoutingShape{3, false}, RoutingShape{3, true}}) {
    CAPTURE(routing.top_k);
    CAPTURE(routing.normalised);
    GradientCheck<B> check({{"logits", rows, 9}}, {rows, 9});
    check.forward = [=](B& b, auto& d) { b.route_forward(routing, d.in(0), d.y()); };
    check.backward = [=](B& b, auto& d) { b.route_grad(routing, d.dy(), d.in(0), d.y(), d.grad(0)); };
    check.run();
  }
  GradientCheck<B> check({{"x", rows, cols}, {"scale", rows, 1}}, {rows, cols});
  check.forward = [](B& b, auto& d) { b.scale_rows(d.in(0), d.in(1), d.y()); };
  check.backward = [](B& b, auto& d) {
    b.scale_rows(d.dy(), d.in(1), d.grad(0));
    b.dot_rows(d.dy(), d.in(0), d.grad(1));
  };
  check.run();
}
TEST_CASE_TEMPLATE_APPLY(routes, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("The gradient of a rotary embedding turns back", B, rotary) {
  for (const RotaryShape& shape :
       {RotaryShape{.head_dim = 12}, RotaryShape{.head_dim = 12, .rotated = 8, .amplitude = 1.5},
        RotaryShape{.head_dim = 12, .rotated = 10, .interleaved = true}}) {
    CAPTURE(shape.interleaved);
    GradientCheck<B> check({{"x", rows, 24}}, {rows, 24}, {0, 1, 5, 1000, 7});
    check.forward = [=](B& b, auto& d) { b.rotary(d.in(0), d.index(), shape, Rotation::forward, d.y()); };
    check.backward = [=](B& b, auto& d) { b.rotary(d.dy(), d.index(), shape, Rotation::backward, d.grad(0)); };
    check.run();
  }
}
TEST_CASE_TEMPLATE_APPLY(rotary, BackendsInDouble);

template <class B>
void check_attention(const AttentionSizes& sizes, bool sinks) {
  CAPTURE(sizes.text_of());
  const Extent q = sizes.query_rows(), k = sizes.key_rows(), wide = sizes.columns(sizes.heads),
               narrow = sizes.columns(sizes.kv_heads);
  std::vector<Index> indices;
  std::vector<std::size_t> starts;
  for (const std::vector<Index>& array : sizes.indices()) {
    starts.push_back(indices.size());
    indices.insert(indices.end(), array.begin(), array.end());
  }
  const auto shape = [=](const auto& d) { return sizes.shape([&](std::size_t i) { return d.index() + starts[i]; }); };
  const auto bias = [=](auto matrix) { return sizes.relative.buckets > 0 ? matrix : decltype(matrix){}; };
  GradientCheck<B> check({{"queries", q, wide},
                          {"keys", k, narrow},
                          {"values", k, narrow},
                          {"bias", sizes.relative.buckets, sizes.heads},
                          {"sinks", sinks ? 1 : 0, sizes.heads}},
                         {q, sizes.heads * sizes.head_dim}, indices, {q, sizes.heads});
  check.forward = [=](B& b, auto& d) {
    b.attention_forward(shape(d), d.in(0), d.in(1), d.in(2), bias(d.in(3)), d.y(), d.stats());
    if (sinks) b.attention_sink_forward(d.in(4), d.y(), d.stats());
  };
  check.backward = [=](B& b, auto& d) {
    b.attention_grad(shape(d), d.in(0), d.in(1), d.in(2), bias(d.in(3)), d.y(), d.stats(), d.dy(), d.grad(0), d.grad(1),
                     d.grad(2), bias(d.grad(3)));
    if (sinks) b.attention_sink_grad(d.in(4), d.y(), d.stats(), d.dy(), d.grad(4));
  };
  check.run();
}

TEST_CASE_TEMPLATE_DEFINE("Gradients of attention are the slopes of the forward kernel", B, attention) {
  for (const AttentionSizes& sizes : attention_sizes()) {
    if (sizes.query_rows() > 200) continue;  // central differences of a long one take long
    check_attention<B>(sizes, false);
  }
}
TEST_CASE_TEMPLATE_APPLY(attention, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("With sinks, gradients of attention and of the sinks are the slopes of both forward kernels",
                          B, attention_with_sinks) {
  int checked = 0;
  for (const AttentionSizes& sizes : attention_sizes()) {
    if (sizes.query_rows() > 90) continue;
    check_attention<B>(sizes, true);
    ++checked;
  }
  CHECK(checked > 20);
}
TEST_CASE_TEMPLATE_APPLY(attention_with_sinks, BackendsInDouble);

TEST_CASE_TEMPLATE_DEFINE("The gradient of cross-entropy is the slope of the loss", B, cross_entropy) {
  GradientCheck<B> check({{"logits", rows, cols}}, {1, 1}, {0, 18, 7, 7, 3});
  check.forward = [](B& b, auto& d) {
    double* sum = d.y().data;
    b.zero(sum, sizeof(double));
    b.cross_entropy_forward(d.in(0), d.index(), nullptr, sum);
  };
  check.backward = [](B& b, auto& d) {
    double scale = 0;  // grad_output of the sum
    b.copy_to_host(&scale, d.dy().data, sizeof(double));
    b.copy(d.grad(0).data, d.in(0).data, d.in(0).size() * static_cast<Bytes>(sizeof(double)));
    b.cross_entropy_grad(d.grad(0), d.index(), scale);
  };
  check.run();
}
TEST_CASE_TEMPLATE_APPLY(cross_entropy, BackendsInDouble);

}  // namespace
}  // namespace greentrainer::testing
