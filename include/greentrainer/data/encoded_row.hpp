#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/data/dataset.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/source_and_target.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// Rows of `input_ids` and `labels`, as transformers' collators write them. Padding that `attention_mask` marks is
/// taken off: sequences are packed here, and read none. All throw DataError.
namespace encoded_row {

/// A list of integers of 32 bits from `least` on.
inline std::vector<Index> integers(const OrderedJson& row, const char* key, std::int64_t least) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_array())
    throw DataError("data", text("field \"", key, "\""), "expected a list of integers, got something else");
  constexpr std::int64_t most = std::numeric_limits<Index>::max();
  std::vector<Index> values;
  for (const OrderedJson& item : *found) {
    const bool fits = item.is_number_integer() && item.get<std::int64_t>() >= least &&
                      item.get<std::int64_t>() <= most &&
                      !(item.is_number_unsigned() && item.get<std::uint64_t>() > most);
    if (!fits)
      throw DataError("data", text("field \"", key, "\""),
                      text("expected integers from ", least, " on, got ", item.dump(-1, ' ', true).substr(0, 40)));
    values.push_back(item.get<Index>());
  }
  return values;
}

inline bool has(const OrderedJson& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && !found->is_null();
}

/// The range of ones in a mask: all of `size` where there is no mask. Zeros may stand in front of it and behind it.
inline std::pair<std::size_t, std::size_t> ones(const OrderedJson& row, const char* key, std::size_t size) {
  if (!has(row, key)) return {0, size};
  const auto fail = [&](const auto&... got) {
    throw DataError("data", text("field \"", key, "\""), text("expected ", got...));
  };
  const OrderedJson& mask = row.at(key);
  if (!mask.is_array() || mask.size() != size)
    fail(size, " numbers, one for each token, got ", mask.is_array() ? text(mask.size()) : mask.type_name());
  std::size_t first = size, last = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const bool one = mask[i] == OrderedJson(1) || mask[i] == OrderedJson(true);
    if (!one && mask[i] != OrderedJson(0) && mask[i] != OrderedJson(false))
      fail("0 or 1 for each token, got ", mask[i].dump(-1, ' ', true).substr(0, 40));
    if (!one) continue;
    if (last > 0 && last != i) fail("zeros in front and behind alone, got some between ones, at place ", i - 1);
    if (last == 0) first = i;
    last = i + 1;
  }
  if (last == 0 && size > 0) fail("at least one 1, got none");
  return {std::min(first, last), last};
}

template <class T>
void keep_range(std::vector<T>& values, std::pair<std::size_t, std::size_t> range) {
  values.erase(values.begin() + static_cast<std::ptrdiff_t>(range.second), values.end());
  values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(range.first));
}

/// Labels outside of `range` must carry no loss.
inline void check_padding(const std::vector<Index>& labels, std::pair<std::size_t, std::size_t> range,
                          const char* mask) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if ((i >= range.first && i < range.second) || labels[i] == ignore_label) continue;
    throw DataError("data", "field \"labels\"",
                    text("expected ", ignore_label, " where ", mask, " is 0, got ", labels[i], " at place ", i));
  }
}

/// Positions of the tokens that stay must be those that every sequence has.
inline void check_positions(const OrderedJson& row, std::size_t size, std::pair<std::size_t, std::size_t> range) {
  if (!has(row, "position_ids")) return;
  std::vector<Index> positions = integers(row, "position_ids", 0);
  if (positions.size() == size) keep_range(positions, range);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (positions.size() == range.second - range.first && positions[i] == static_cast<Index>(i)) continue;
    throw DataError("data", "field \"position_ids\"",
                    text("expected 0, 1, 2, ... for the tokens of the row, got ", positions[i], " at place ", i,
                         "; other positions are not supported"));
  }
}

/// Decoder inputs must be the labels, shifted.
inline void check_decoder_input(const OrderedJson& row, const std::vector<Index>& labels, TargetShift shift) {
  if (!has(row, "decoder_input_ids")) return;
  std::vector<Index> expected = encoder_decoder_example({}, labels, shift).input_ids;
  expected.pop_back();
  if (integers(row, "decoder_input_ids", 0) != expected) {
    throw DataError("data", "field \"decoder_input_ids\"",
                    "expected the labels behind the id that decoding starts with, got others, which are not supported");
  }
}

inline std::optional<Example> of_decoder(const OrderedJson& row, const DataOptions& options, bool& truncated) {
  Example example{integers(row, "input_ids", 0), integers(row, "labels", ignore_label), {}};
  const std::size_t size = example.input_ids.size();
  if (size != example.labels.size())
    throw DataError("data", "labels", text("expected ", size, " as in input_ids, got ", example.labels.size()));
  const auto range = ones(row, "attention_mask", size);
  check_padding(example.labels, range, "attention_mask");
  check_positions(row, size, range);
  keep_range(example.input_ids, range);
  keep_range(example.labels, range);
  if (example.input_ids.empty()) return std::nullopt;
  for (const Index label : example.labels) {
    if (label != ignore_label) check_ids({label}, options.vocabulary);
  }
  truncated = cut_end(example, options.max_tokens, options.truncation, "input_ids");
  return example;
}

/// The source loses its end beyond max_tokens. Labels without loss behind all others are padding.
inline std::optional<Example> of_encoder_decoder(const OrderedJson& row, const DataOptions& options, bool& truncated) {
  std::vector<Index> source = integers(row, "input_ids", 0), labels = integers(row, "labels", ignore_label);
  const auto range = ones(row, "attention_mask", source.size());
  check_positions(row, source.size(), range);
  keep_range(source, range);
  check_decoder_input(row, labels, options.target->shift);
  const auto target = ones(row, "decoder_attention_mask", labels.size());
  check_padding(labels, target, "decoder_attention_mask");
  if (target.first > 0)
    throw DataError("data", "field \"decoder_attention_mask\"",
                    "expected zeros behind the target alone, got some in front");
  while (!labels.empty() && labels.back() == ignore_label) labels.pop_back();
  return source_and_target::example(std::move(source), labels, options.max_tokens, *options.target, options.truncation,
                                    truncated);
}

/// The example of such a row; nothing where it has no token, or a target that is too long.
inline std::optional<Example> example(const OrderedJson& row, const DataOptions& options, bool& truncated) {
  return options.target ? of_encoder_decoder(row, options, truncated) : of_decoder(row, options, truncated);
}

}  // namespace encoded_row

}  // namespace greentrainer
