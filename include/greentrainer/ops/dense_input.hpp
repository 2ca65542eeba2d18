#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y (R, width) = the features of the batch's rows (Batch::features), of those that `rows` names: the decoder's, or
/// some of them. Constants: no gradient goes further. Throws DataError for a batch with other features.
struct DenseInput {
  static constexpr std::string_view kind = "dense_input";
  static constexpr bool row_by_row = true;

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;

  std::vector<ValueShape> input_shapes() const { return {}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const { return {}; }

  LinearCost forward_cost() const { return {}; }
  LinearCost part_cost(int, Write) const { return {}; }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    const auto y = call.output(0);
    if (y.rows == 0) return;
    const auto& features = call.numbers.features;
    if (features.cols != width || features.rows != call.batch.decoder.tokens || rows == Rows::encoder_tokens) {
      throw DataError(kind, "features",
                      text("expected ", width, " numbers for each of the decoder's ", call.batch.decoder.tokens,
                           " rows, got ", features.cols, " for ", features.rows));
    }
    if (const Index* places = places_of(call.batch, rows))
      call.backend.gather_rows(features, places, y);
    else
      call.backend.copy_matrix(features, y);
  }
  template <class B>
  void backward(BackwardCall<B>&) const {}
};

}  // namespace greentrainer
