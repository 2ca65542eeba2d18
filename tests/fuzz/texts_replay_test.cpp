// Every input that the fuzzers' corpora have, for tokenizers, templates and data.

#include <doctest/doctest.h>

#include "fuzz/replay.hpp"
#include "fuzz/targets/chat_template.hpp"
#include "fuzz/targets/dataset_forms.hpp"
#include "fuzz/targets/jsonl_rows.hpp"
#include "fuzz/targets/merges.hpp"
#include "fuzz/targets/ranked_tokenizer.hpp"
#include "fuzz/targets/spiece_model.hpp"
#include "fuzz/targets/tokenizer_json.hpp"
#include "greentrainer/data/dataset_forms.hpp"

namespace fuzz = greentrainer::fuzz;

TEST_CASE("tokenizers, templates and rows of the fuzzers' corpora are read, or refused by an error") {
  fuzz::replay("tokenizer_json", fuzz::tokenizer_json);
  fuzz::replay("spiece_model", fuzz::spiece_model);
  fuzz::replay("merges", fuzz::merges);
  fuzz::replay("ranked_tokenizer", fuzz::ranked_tokenizer);
  fuzz::replay("chat_template", fuzz::chat_template);
  fuzz::replay("jsonl_rows", fuzz::jsonl_rows);
  fuzz::replay("dataset_forms", fuzz::dataset_forms);
}
