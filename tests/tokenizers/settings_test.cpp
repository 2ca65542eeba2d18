// The small files beside a tokenizer say what transformers' AutoTokenizer makes of them
// (tests/golden/make_tokenizer_settings_goldens.py).

#include <fstream>
#include <optional>
#include <string>

#include <doctest/doctest.h>

#include "greentrainer/io/file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path root = testing::source_folder();

std::filesystem::path base_folder(const std::string& name) {
  return name == "stories260k" ? root / "examples/data/stories260k" : root / "tests/golden/tokenizers" / name;
}

/// `line`: the golden's bytes. New tokens have ids in the order of a file's keys, which Json does not keep.
void write_case(const Json& golden, const std::string& line, const TemporaryFolder& folder) {
  for (const auto& file : golden.at("keep")) {
    const auto name = file.get<std::string>();
    std::filesystem::copy_file(base_folder(golden.at("base")) / name, folder / name);
  }
  const auto ordered = parse_json<OrderedJson>(line, "settings.jsonl");
  for (const auto& [name, value] : ordered.at("files").items()) folder.write(name, value.dump());
  if (golden.at("set").empty()) return;
  Json json = read_json_file(folder / "tokenizer.json");
  json.update(golden.at("set"));
  std::filesystem::remove(folder / "tokenizer.json");  // copied with the permissions of the original
  folder.write("tokenizer.json", json.dump());
}

std::optional<Index> id_or_none(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<Index>());
}

}  // namespace

TEST_CASE("settings give the ids, ends and special tokens that transformers gives") {
  std::ifstream file(root / "tests/golden/tokenizers/settings.jsonl");
  std::size_t compared = 0;
  std::size_t refused = 0;
  for (std::string line; std::getline(file, line);) {
    const Json golden = parse_json(line, "settings.jsonl");
    const auto name = golden.at("name").get<std::string>();
    CAPTURE(name);
    const TemporaryFolder folder;
    write_case(golden, line, folder);
    if (golden.contains("refused")) {
      const auto error = error_of<LoadError>([&] { load_tokenizer(folder.path()); });
      CAPTURE(error);
      CHECK(has(error, golden.at("refused").get<std::string>()));
      CHECK(has(error, folder.path().string()));
      ++refused;
      continue;
    }
    std::shared_ptr<const Tokenizer> tokenizer;
    const auto error = error_of<LoadError>([&] { tokenizer = load_tokenizer(folder.path()); });
    CAPTURE(error);
    REQUIRE(tokenizer != nullptr);
    // Where no file names them, ours are those of the post-processor.
    if (tokenizer->bos_id() && !tokenizer->adds_bos()) CHECK(tokenizer->bos_id() == id_or_none(golden.at("bos")));
    if (tokenizer->eos_id() && !tokenizer->adds_eos()) CHECK(tokenizer->eos_id() == id_or_none(golden.at("eos")));
    if (!golden.at("bos").is_null()) CHECK(tokenizer->bos_id() == id_or_none(golden.at("bos")));
    if (!golden.at("eos").is_null()) CHECK(tokenizer->eos_id() == id_or_none(golden.at("eos")));
    CHECK(tokenizer->pad_id() == id_or_none(golden.at("pad")));
    CHECK(tokenizer->unk_id() == id_or_none(golden.at("unk")));
    CHECK(tokenizer->vocab_size() == golden.at("size").get<Extent>());
    for (const Json& text : golden.at("texts")) {
      const auto input = text.at("text").get<std::string>();
      CAPTURE(input);
      CHECK(Json(tokenizer->encode(input)) == text.at("ids"));
      CHECK(Json(tokenizer->encode_sequence(input)) == text.at("sequence"));
      CHECK(tokenizer->decode(tokenizer->encode_sequence(input)) == text.at("decoded").get<std::string>());
    }
    ++compared;
  }
  CHECK(compared > 150);
  CHECK(refused > 5);
}
