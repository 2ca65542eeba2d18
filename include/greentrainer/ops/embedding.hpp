#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y (R, width) = table[index], the index being each row's token id or its position. `offset` leading rows of the table
/// are skipped (OPT's positions start at row 2).
struct Embedding {
  static constexpr std::string_view kind = "embedding";
  enum class Source { token_ids, positions };
  enum Part { grad_table };

  Rows rows = Rows::decoder_tokens;
  Source source = Source::token_ids;
  Extent entries = 0;
  Extent width = 0;
  Extent offset = 0;

  std::vector<ValueShape> input_shapes() const { return {}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {{entries, width}}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_weight", .kind = GradPart::Kind::parameter, .index = 0}};
  }

  LinearCost forward_cost() const { return {}; }
  LinearCost part_cost(int, Write) const { return per(rows, width); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.embedding_forward(used_rows(call.parameter(0)), index(call.batch), call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    if (call.wants(grad_table))
      call.backend.embedding_grad_weight(call.grad_output(), index(call.batch), used_rows(call.grad_parameter(0)));
  }

 private:
  template <class T>
  Matrix<T> used_rows(Matrix<T> table) const {
    return table.rows_from(offset, table.rows - offset);
  }
  const Index* index(const DeviceBatch& batch) const {
    const DeviceTokens& tokens = rows == Rows::encoder_tokens ? batch.encoder : batch.decoder;
    return source == Source::token_ids ? tokens.ids : tokens.positions;
  }
};

}  // namespace greentrainer
