// The tokens that end turns join those that end texts, in what is saved.

#include "greentrainer/pretrained/generation_ends.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "support/chat_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("ends of turns join eos_token_id; the rest of generation_config.json stays") {
  const TemporaryFolder folder;
  const auto source = write_chat_model(folder);
  folder.write("chat-model/generation_config.json", R"({"bos_token_id": 1, "eos_token_id": 2, "top_p": 0.9})");
  EigenBackend<float> backend(1);
  const auto model = load_pretrained(source, backend);
  save_pretrained(model, folder / "out", {}, std::vector<Index>{258});
  const auto saved = read_json_file(folder / "out/generation_config.json");
  CHECK(saved == Json{{"bos_token_id", 1}, {"eos_token_id", {2, 258}}, {"top_p", 0.9}});
  const auto again = load_pretrained(folder / "out", backend);
  CHECK(eos_ids_of(again) == std::vector<Index>{2, 258});
  CHECK(generation_settings_not_followed(again) == std::vector<std::string>{"top_p"});
  save_pretrained(again, folder / "again", {}, std::vector<Index>{258});
  CHECK(read_json_file(folder / "again/generation_config.json") == saved);
}

TEST_CASE("a folder without generation_config.json gets one, with what transformers would take from config.json") {
  const TemporaryFolder folder;
  const auto source = write_chat_model(folder);
  std::filesystem::remove(source / "generation_config.json");
  EigenBackend<float> backend(1);
  const auto model = load_pretrained(source, backend);
  save_pretrained(model, folder / "without");
  CHECK_FALSE(std::filesystem::exists(folder / "without/generation_config.json"));
  save_pretrained(model, folder / "out", {}, std::vector<Index>{258});
  CHECK(read_json_file(folder / "out/generation_config.json") == Json{{"bos_token_id", 1}, {"eos_token_id", {2, 258}}});
}
