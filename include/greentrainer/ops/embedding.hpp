#pragma once

#include <cstddef>
#include <optional>

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y (R, width) = table[index], the index being each row's token id or its position. `offset` leading rows of the table
/// are skipped (OPT's positions start at row 2). Looking up `padding_row` adds no gradient to that row, as in PyTorch's
/// nn.Embedding with padding_idx; what other operators that read the table contribute to it stays.
struct Embedding {
  static constexpr std::string_view kind = "embedding";
  static constexpr bool row_by_row = true;
  static constexpr BitSet any_format = bit(0);
  enum class Source { token_ids, positions };
  enum Part { grad_table };

  Rows rows = Rows::decoder_tokens;
  Source source = Source::token_ids;
  Extent entries = 0;
  Extent width = 0;
  Extent offset = 0;
  std::optional<Extent> padding_row = {};  ///< of the table

  std::vector<ValueShape> input_shapes() const { return {}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {{entries, width}}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_weight", .kind = GradPart::Kind::parameter, .index = 0}};
  }

  LinearCost forward_cost() const { return {}; }
  LinearCost part_cost(int, Write) const { return per(rows, width); }

  /// The gradient of the padding row, while all lookups are added.
  Extent workspace(const Workload&) const { return padding_row ? width : 0; }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    const Weight<typename B::Scalar> table = call.weight(0);
    embedding_forward(call.backend, table.rows_from(offset, table.rows() - offset), index(call.batch), call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    if (!call.wants(grad_table)) return;
    const Matrix<typename B::Scalar> table = call.grad_parameter(0);
    // Every lookup is added, and the padding row then put back: so kernels need no exception, and the FLOPs depend on
    // the number of tokens alone.
    const auto bytes = static_cast<Bytes>(sizeof(typename B::Scalar)) * width;
    const auto padding = padding_row ? table.rows_from(*padding_row, 1).data : nullptr;
    if (padding_row) call.backend.copy(call.workspace, padding, bytes);
    call.backend.embedding_grad_weight(call.grad_output(), index(call.batch), used_rows(table));
    if (padding_row) call.backend.copy(padding, call.workspace, bytes);
  }

 private:
  template <class T>
  Matrix<T> used_rows(Matrix<T> table) const {
    return table.rows_from(offset, table.rows - offset);
  }
  const Index* index(const DeviceBatch& batch) const {
    const DeviceTokens& tokens = tokens_of(batch, rows);
    return source == Source::token_ids ? tokens.ids : tokens.positions;
  }
};

}  // namespace greentrainer
