// What a file of data may be: text, plain or as JSON lines, or gzip of it; what is not is refused with the way to
// convert it.

#include "greentrainer/data/data_file.hpp"

#include <string>

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/data/load_prompts.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/gzip.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("a gzip file is read as what it holds, in every form and by any name") {
  const TemporaryFolder folder;
  const auto tokenizer = load_tokenizer(source_folder() / "examples/data/stories260k");
  const std::string rows = "\xEF\xBB\xBF{\"text\": \"one cat\"}\n{\"text\": \"two cats\"}\n";
  const Dataset plain = load_jsonl(folder.write("rows.jsonl", rows), *tokenizer);
  const Dataset packed = load_jsonl(folder.write("rows.jsonl.gz", gzip(rows)), *tokenizer);
  REQUIRE(packed.examples.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(packed.examples[i].input_ids == plain.examples[i].input_ids);
  const auto labelled = folder.write("labelled", gzip("good\t1\nbad\t0\n"));
  CHECK(load_jsonl(labelled, *tokenizer, {.dataset = "uci_sentiment"}).rows == 2);
}

TEST_CASE("each line of a .txt file that is not blank is a text, or a prompt to answer") {
  const TemporaryFolder folder;
  const auto tokenizer = load_tokenizer(source_folder() / "examples/data/stories260k");
  const Dataset expected =
      load_jsonl(folder.write("rows.jsonl", "{\"text\": \"{\\\"a\\\": 1}\"}\n{\"text\": \" two\"}\n"), *tokenizer);
  const std::string text = "{\"a\": 1}\r\n\n \n two\n";
  for (const auto& path : {folder.write("rows.txt", text), folder.write("rows.txt.gz", gzip(text))}) {
    const Dataset data = load_jsonl(path, *tokenizer);
    REQUIRE(data.examples.size() == 2);
    CHECK(data.lines == std::vector<Extent>{1, 4});
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(data.examples[i].input_ids == expected.examples[i].input_ids);
      CHECK(data.examples[i].labels == expected.examples[i].labels);
    }
    const Prompts prompts = load_prompts(path, *tokenizer, {.max_tokens = 64}, 8);
    REQUIRE(prompts.ids.size() == 2);
    CHECK(prompts.references[0].empty());
    std::vector<Index> second = tokenizer->encode(" two");
    second.insert(second.begin(), *tokenizer->bos_id());
    CHECK(prompts.ids[1] == second);
  }
  const auto latin = folder.write("latin.txt", "fine\ncaf\xE9\n");
  CHECK(has(error_of<DataError>([&] { load_jsonl(latin, *tokenizer); }),
            "latin.txt, line 2: text: expected UTF-8, got something else at byte 4"));
}

TEST_CASE("files that hold data in another way are refused by name, with the command that converts them") {
  const TemporaryFolder folder;
  const auto refusal = [&](std::string_view bytes) {
    const auto path = folder.write("rows", bytes);
    return error_of<LoadError>([&] { read_data_file(path); });
  };
  CHECK(has(refusal("PAR1\x15\x04"), "rows: expected text or gzip, got a Parquet file; convert it: python3 -c"));
  CHECK(has(refusal("PAR1\x15\x04"), "from_parquet('FILE').to_json('FILE.jsonl')"));
  CHECK(has(refusal("ARROW1\0\0"), "got an Arrow (Feather) file; convert it: python3 -c"));
  CHECK(has(refusal("\xFF\xFF\xFF\xFFxxxx"), "got an Arrow stream; convert it: python3 -c"));
  CHECK(has(refusal("\x28\xB5\x2F\xFDxx"), "got a zstd file; decompress it: zstd -d FILE"));
  CHECK(has(refusal("\xFD"
                    "7zXZ"),
            "got an xz file"));
  CHECK(has(refusal("BZh91AY"), "got a bzip2 file"));
  CHECK(has(refusal("PK\x03\x04"), "got a zip file"));
  CHECK(has(refusal(gzip("PAR1")), "got a Parquet file"));
  CHECK(refusal("PARTLY").empty());
}
