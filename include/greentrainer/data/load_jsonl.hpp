#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/data/source_and_target.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

struct DataOptions {
  Extent max_tokens = 512;   ///< of an example, BOS and EOS included
  std::string dataset = {};  ///< a data set's own form, see dataset_forms; empty: by the fields of each row
  Extent vocabulary = 0;     ///< ids given as numbers must be below this; 0: the tokenizer's size
  std::optional<TargetOptions> target = {};  ///< for encoder-decoder models; max_tokens is then their source's
};

/// Examples ready to train on, and what became of the file's rows.
struct Dataset {
  std::vector<Example> examples;
  std::vector<Extent> lines;  ///< of the file, from 1, for each example
  Extent rows = 0;
  Extent rows_dropped = 0;  ///< without a labelled token that could be predicted, or with a completion that does not fit
  Extent rows_truncated = 0;
};

/// Turns rows of JSON into examples. Prompt and completion are tokenised apart and joined; the model's BOS goes in front where it has one, its EOS
/// behind the completion. An example that is too long loses the end of its prompt (as in the paper's code), never a token of its completion; a plain
/// text loses its end. Rows that are left without a label are dropped and counted.
/// For an encoder-decoder, prompt and completion, or input_ids and labels, are source and target, each with its own EOS and limit.
class RowEncoder {
 public:
  /// `tokenizer` may be null for rows of input_ids and labels.
  RowEncoder(const Tokenizer* tokenizer, DataOptions options) : tokenizer_(tokenizer), options_(std::move(options)) {
    if (options_.max_tokens < 2) throw ConfigError("load_jsonl", text("--max-tokens: expected at least 2, got ", options_.max_tokens));
    if (options_.vocabulary == 0 && tokenizer_ != nullptr) options_.vocabulary = tokenizer_->vocab_size();
    if (!options_.dataset.empty()) form_ = dataset_form(options_.dataset);
    if (tokenizer_ != nullptr && tokenizer_->id("<|im_start|>")) {
      chat_ = tokenizer_->chat_template().empty() ? ChatMl{} : parse_chatml(tokenizer_->chat_template());
    }
  }

  /// Adds the row to the data set, or counts it as dropped. Throws DataError saying what is wrong with it.
  void add(const Json& row, Extent line, Dataset& dataset) const {
    if (!row.is_object()) throw DataError("data", text("row: expected a JSON object, got ", row.type_name()));
    ++dataset.rows;
    bool truncated = false;
    std::optional<Example> example;
    if (!form_ && row.contains("input_ids"))
      example = encoded_example(row, truncated);
    else
      example = encode(form_ ? form_->read(row) : pieces_of(row, chat_), truncated);
    const bool labelled =
        example && std::any_of(example->labels.begin() + 1, example->labels.end(), [](Index label) { return label != ignore_label; });
    if (!labelled) {
      ++dataset.rows_dropped;
      return;
    }
    dataset.rows_truncated += truncated ? 1 : 0;
    dataset.examples.push_back(std::move(*example));
    dataset.lines.push_back(line);
  }

 private:
  std::optional<Example> encode(const TextPieces& text_pieces, bool& truncated) const {
    if (tokenizer_ == nullptr) throw DataError("data", "row: expected input_ids and labels, since the model folder has no tokenizer, got text");
    if (options_.target) return checked(source_and_target::example(text_pieces, *tokenizer_, options_.max_tokens, *options_.target, truncated));
    struct Part {
      std::vector<Index> ids;
      bool labelled;
    };
    std::vector<Part> parts;
    if (text_pieces.starts_with_bos && tokenizer_->adds_bos()) parts.push_back({{*tokenizer_->bos_id()}, false});
    const std::size_t fixed = parts.size();
    for (const auto& piece : text_pieces.pieces) parts.push_back({tokenizer_->encode(piece.text), piece.labelled});
    if (text_pieces.ends_with_eos && tokenizer_->eos_id()) parts.push_back({{*tokenizer_->eos_id()}, true});

    Extent excess = -options_.max_tokens;
    for (const Part& part : parts) excess += static_cast<Extent>(part.ids.size());
    const bool has_prompt = std::any_of(parts.begin() + static_cast<std::ptrdiff_t>(fixed), parts.end(), [](const Part& p) { return !p.labelled; });
    if (excess > 0) {
      truncated = true;
      const auto cut = [&](Part& part) {
        const auto removed = std::min<Extent>(excess, static_cast<Extent>(part.ids.size()));
        part.ids.resize(part.ids.size() - static_cast<std::size_t>(removed));
        excess -= removed;
      };
      for (std::size_t p = parts.size(); p-- > fixed && excess > 0;) {
        if (has_prompt ? !parts[p].labelled : true) cut(parts[p]);
      }
      if (excess > 0) return std::nullopt;  // the completion alone does not fit
    }
    Example example;
    for (const Part& part : parts) {
      example.input_ids.insert(example.input_ids.end(), part.ids.begin(), part.ids.end());
      if (part.labelled)
        example.labels.insert(example.labels.end(), part.ids.begin(), part.ids.end());
      else
        example.labels.insert(example.labels.end(), part.ids.size(), ignore_label);
    }
    if (example.input_ids.empty()) return std::nullopt;
    check_ids(example.input_ids);
    return example;
  }

  std::optional<Example> encoded_example(const Json& row, bool& truncated) const {
    Example example{ids_of(row, "input_ids"), ids_of(row, "labels"), {}};
    if (options_.target) {
      return checked(source_and_target::example(std::move(example.input_ids), example.labels, options_.max_tokens, *options_.target, truncated));
    }
    if (example.input_ids.size() != example.labels.size()) {
      throw DataError("data", text("labels: expected ", example.input_ids.size(), " as in input_ids, got ", example.labels.size()));
    }
    if (example.input_ids.empty()) return std::nullopt;
    check_ids(example.input_ids);
    for (const Index label : example.labels) {
      if (label != ignore_label) check_ids({label});
    }
    const auto longest = static_cast<std::size_t>(options_.max_tokens);
    if (example.input_ids.size() > longest) {
      truncated = true;
      example.input_ids.resize(longest);
      example.labels.resize(longest);
    }
    return example;
  }

  static std::vector<Index> ids_of(const Json& row, const char* key) {
    const auto found = row.find(key);
    if (found == row.end() || !found->is_array())
      throw DataError("data", text("field \"", key, "\": expected a list of integers, got something else"));
    std::vector<Index> ids;
    for (const Json& item : *found) {
      const bool fits = item.is_number_integer() && item.get<std::int64_t>() >= ignore_label && item.get<std::int64_t>() <= INT32_MAX &&
                        !(item.is_number_unsigned() && item.get<std::uint64_t>() > INT32_MAX);
      if (!fits) throw DataError("data", text("field \"", key, "\": expected token ids, got ", item.dump(-1, ' ', true).substr(0, 40)));
      ids.push_back(item.get<Index>());
    }
    return ids;
  }

  std::optional<Example> checked(std::optional<Example> example) const {
    if (example) {
      check_ids(example->source_ids);
      check_ids(example->input_ids);
    }
    return example;
  }
  void check_ids(const std::vector<Index>& ids) const {
    for (const Index id : ids) {
      if (id < 0 || (options_.vocabulary > 0 && id >= options_.vocabulary)) {
        throw DataError("data",
                        text("token id: expected 0 to ", options_.vocabulary - 1, ", got ", id, "; does the tokenizer belong to this model?"));
      }
    }
  }

  const Tokenizer* tokenizer_;
  DataOptions options_;
  std::optional<DatasetForm> form_;
  std::optional<ChatMl> chat_;
};

/// Reads a file of one JSON object a line. Throws DataError naming file and line of the first bad row, or if no row is left to train on.
inline Dataset load_jsonl(const std::filesystem::path& path, const Tokenizer* tokenizer, const DataOptions& options = {}) {
  const RowEncoder encoder(tokenizer, options);
  const std::string contents = read_file(path, Bytes{4} << 30);
  Dataset dataset;
  std::string_view rest = contents;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  for (Extent line = 1; !rest.empty(); ++line) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view row = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.find_first_not_of(" \t") == std::string_view::npos) continue;
    const std::string where = text(path.string(), ", line ", line);
    Json json;
    try {
      json = parse_json(row, where);
    } catch (const LoadError&) {
      throw DataError("load_jsonl", text(where, ": expected one JSON object, got something else; is every row on a line of its own?"));
    }
    try {
      encoder.add(json, line, dataset);
    } catch (const DataError& error) {
      const std::string_view what = error.what();
      throw DataError("load_jsonl", text(where, ": ", what.substr(what.find("] ") + 2)));
    }
  }
  if (dataset.examples.empty()) {
    throw DataError("load_jsonl",
                    text(path.string(), ": expected at least one row with a labelled token, got ", dataset.rows, " rows and none of them with one"));
  }
  return dataset;
}

inline Dataset load_jsonl(const std::filesystem::path& path, const Tokenizer& tokenizer, const DataOptions& options = {}) {
  return load_jsonl(path, &tokenizer, options);
}

}  // namespace greentrainer
