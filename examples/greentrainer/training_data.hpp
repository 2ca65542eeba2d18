#pragma once

#include <string>
#include <vector>

#include "command.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/load_choices.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/data/load_prompts.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer::program {

/// What the options say about data files.
struct DataChoice {
  std::string dataset;       ///< name of a known set's own form, or empty: JSON lines as in --help
  Extent max_tokens = 0;     ///< 0: as many as the model has positions
  Extent target_tokens = 0;  ///< of an encoder-decoder's completion; 0: 512
  std::string truncation = std::string(truncation_names.front());
  std::string packing = std::string(packing_names.front());
  RowRange rows = {};  ///< of the file
};

/// Declares what all commands that read data have in common: --max-tokens, --truncation, --dataset. `choice` must
/// outlive the command.
void declare_data(Command& command, DataChoice& choice);

/// Declares --target-tokens, for commands that read completions as targets.
void declare_target_tokens(Command& command, DataChoice& choice);

/// Declares --pack, for commands that read whole rows.
void declare_packing(Command& command, DataChoice& choice);

/// What is said of data on stderr: keys that nothing read, and how often each stood in a row or message.
void say_ignored(const std::string& path, const IgnoredKeys& keys);

/// Declares --NAME, "400" for the first 400 rows of a file or "400:500" for those from the 401st to the 500th.
void declare_rows(Command& command, const std::string& name, RowRange& rows, const std::string& help);

/// Throws ConfigError for more tokens than the model has positions.
Extent max_tokens(const DataChoice& choice, const ModelFacts& facts);

/// Reads a file and says on stderr what was dropped, truncated and not read. `tokenizer` may be null: then only
/// {"input_ids", "labels"} can be read. Throws DataError naming file and line for what the model cannot read, and if no
/// row is left; ConfigError for target tokens of a model without targets.
Dataset load_data(const std::string& path, const Tokenizer* tokenizer, const ModelFacts& facts,
                  const DataChoice& choice);

/// The same file's rows as prompts for generation, with room for `new_tokens` behind them; says the same on stderr.
/// Throws as load_data.
Prompts load_prompts(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                     const DataChoice& choice, Extent new_tokens);

/// The same with a reference for each, which answers are compared with. Throws DataError for a row without one.
Prompts load_questions(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                       const DataChoice& choice, Extent new_tokens);

/// What the data ask of a model: rows without a data set's form are scored as summaries are.
DatasetTask task_of(const DataChoice& choice);

/// Whether rows of the data have labels to choose from, so that accuracy can be told.
bool has_choices(const DataChoice& choice);

/// The same file as load_data's, for evaluate_choices. Requires has_choices. Throws as load_data.
Choices load_choices(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                     const DataChoice& choice);

}  // namespace greentrainer::program
