#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// The mean of each sequence's rows, (tokens, width) -> (labelled, width): every sequence has one labelled row,
/// wherever it stands, which the mean takes the place of. `rows`: the decoder's or the encoder's. Throws DataError for
/// a batch with none or several in a sequence. A few kernel calls a sequence.
struct MeanRows {
  static constexpr std::string_view kind = "mean_rows";
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{Rows::labelled_tokens, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .adds = true}};
  }

  /// Each row is added to zeros, or to the gradient that is there, and each sequence's sum is divided once.
  LinearCost forward_cost() const { return per(rows, width) + per(sequences_of(rows), width); }
  LinearCost part_cost(int, Write) const { return forward_cost(); }

  /// One row of the gradient.
  Extent workspace(const Workload&) const { return width; }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    const auto x = call.input(0);
    const auto y = call.output(0);
    call.backend.zero(y.data, bytes_of<typename ForwardCall<B>::T>(y.rows));
    for_sequences(call.batch, [&](Extent s, Extent first, Extent length) {
      auto* const mean = y.rows_from(s, 1).data;
      call.backend.bias_grad(x.rows_from(first, length), mean);
      call.backend.scale(width, mean, 1 / static_cast<double>(length));
    });
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto dy = call.grad_output();
    const auto dx = call.grad_input(0);
    if (call.write(0) == Write::overwrite) call.backend.zero(dx.data, bytes_of<typename BackwardCall<B>::T>(dx.rows));
    for_sequences(call.batch, [&](Extent s, Extent first, Extent length) {
      call.backend.copy(call.workspace, dy.rows_from(s, 1).data, bytes_of<typename BackwardCall<B>::T>(1));
      call.backend.scale(width, call.workspace, 1 / static_cast<double>(length));
      call.backend.add_bias(dx.rows_from(first, length), call.workspace);
    });
  }

 private:
  template <class T>
  Bytes bytes_of(Extent row_count) const {
    return row_count * width * static_cast<Bytes>(sizeof(T));
  }
  /// visit(sequence, its first row, its rows)
  template <class Visit>
  void for_sequences(const DeviceBatch& batch, Visit visit) const {
    const auto offsets = tokens_of(batch, rows).offsets;
    const auto labelled = batch.labelled.extents;
    if (labelled.size() + 1 != offsets.size()) {
      throw DataError(
          kind, "batch",
          text("expected the rows of ", labelled.size(), " sequences, got ", offsets.empty() ? 0 : offsets.size() - 1));
    }
    for (std::size_t s = 0; s < labelled.size(); ++s) {
      if (labelled[s].rows != 1 || offsets[s + 1] == offsets[s]) {
        throw DataError(kind, text("sequence ", s),
                        text("expected one labelled row, which stands for the sequence's ", offsets[s + 1] - offsets[s],
                             ", got ", labelled[s].rows));
      }
      visit(static_cast<Extent>(s), offsets[s], offsets[s + 1] - offsets[s]);
    }
  }
};

}  // namespace greentrainer
