// Data sets in the forms they are distributed in: tiny files of each.

#include "greentrainer/data/dataset_forms.hpp"

#include <ctime>

#include <doctest/doctest.h>

#include "greentrainer/data/dataset_row.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::TemporaryFolder;

namespace {

std::vector<DatasetRow> read(const std::string& name, const std::string& contents,
                             const std::string& file = "data.json") {
  const TemporaryFolder folder;
  return dataset_form(name).read(folder.write(file, contents));
}

/// The error that reading gives, without the temporary folder's name.
std::string error_of(const std::string& name, const std::string& contents) {
  const TemporaryFolder folder;
  const std::string path = folder.write("data.json", contents).string();
  try {
    dataset_form(name).read(path);
  } catch (const Error& error) {
    std::string what = error.what();
    const auto at = what.find(path);
    return at == std::string::npos ? what : what.replace(at, path.size(), "FILE");
  }
  return "";
}

/// The prompt as one text, with | for the model's EOS.
std::string joined(const std::vector<DatasetRow::Part>& parts) {
  std::string text;
  for (const auto& part : parts) text.append(part.text).append(part.separated ? "|" : "");
  return text;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("SciTLDR: sentences joined, the paper's prompts, every summary a reference") {
  const auto rows = read(
      "scitldr",
      R"({"source": ["One.", "Two."], "source_labels": [0, 1], "paper_id": "x", "target": ["Short.", "Shorter."], "title": "T"})"
      "\n\n"
      R"({"source": ["A."], "target": ["B."]})");
  REQUIRE(rows.size() == 2);
  CHECK(joined(rows[0].prompt) == "One. Two. TL;DR:");
  CHECK(rows[0].lead == " ");
  CHECK(joined(rows[0].source) == "summarize: One. Two.");
  CHECK(rows[0].references == Texts{"Short.", "Shorter."});
  CHECK(rows[0].candidates.empty());
  CHECK(rows[1].line == 3);
}

TEST_CASE("DialogSum: one summary in training, three in its test split") {
  const auto rows =
      read("dialogsum",
           R"({"fname": "a", "dialogue": "#Person1#: Hi.\n#Person2#: Bye.", "summary": "They part.", "topic": "t"})"
           "\n"
           R"({"fname": "b", "dialogue": "D", "summary1": "S1", "topic1": "t", "summary2": "S2", "summary3": "S3"})");
  REQUIRE(rows.size() == 2);
  CHECK(joined(rows[0].prompt) == "#Person1#: Hi.\n#Person2#: Bye. TL;DR:");
  CHECK(rows[0].references == Texts{"They part."});
  CHECK(rows[1].references == Texts{"S1", "S2", "S3"});
}

TEST_CASE("WebQuestions: the fields of its three distributions, as array or lines") {
  const Texts answers = {"Jamaican English", "Patois"};
  for (
      const std::string row :
      {R"({"qId": "wqs0", "answers": ["Jamaican English", "Patois"], "qText": "what do they speak?"})",
       R"({"url": "u", "question": "what do they speak?", "answers": ["Jamaican English", "Patois"]})",
       R"~({"url": "u", "targetValue": "(list (description \"Jamaican English\") (description Patois))", "utterance": "what do they speak?"})~"}) {
    CAPTURE(row);
    for (const std::string& file : {row, "[\n " + row + "\n]"}) {
      const auto rows = read("webquestions", file);
      REQUIRE(rows.size() == 1);
      CHECK(joined(rows[0].prompt) == "question:what do they speak?|answer:");
      CHECK(rows[0].references == answers);
      CHECK(rows[0].line == (file == row ? 1 : 2));
    }
  }
  CHECK(forms::webquestions_descriptions(R"~((list (description "a \"b\" (c)") (description d e)))~") ==
        Texts{"a \"b\" (c)", "d e"});
  for (const char* list : {"", "(list)", "(list (description))", "(list (description ", "(list (description \"a",
                           "(list (description )"}) {
    CAPTURE(list);
    CHECK_THROWS_AS(forms::webquestions_descriptions(list), DataError);
  }
}

TEST_CASE("PIQA: the right label, in the row or in a file beside") {
  const std::string first = R"({"goal": "G", "sol1": "A", "sol2": "B")";
  const auto rows = read("piqa", first + ", \"label\": 1}\n" + first + ", \"label\": 0}");
  REQUIRE(rows.size() == 2);
  CHECK(joined(rows[0].prompt) == "goal:G|sol1:A|sol2:B|label:");
  CHECK(rows[0].candidates == Texts{"0", "1"});
  CHECK(rows[0].answer == 1);
  CHECK(rows[0].references == Texts{"1"});
  CHECK(rows[1].answer == 0);

  const TemporaryFolder folder;
  folder.write("valid-labels.lst", "0\n1\n");
  const auto path = folder.write("valid.jsonl", first + "}\n" + first + "}\n");
  CHECK(dataset_form("piqa").read(path)[1].answer == 1);
  folder.write("valid-labels.lst", "0\n");
  CHECK_THROWS_WITH_AS(dataset_form("piqa").read(path), doctest::Contains("valid.jsonl, line 2: field \"label\""),
                       DataError);
  folder.write("valid-labels.lst", "0\n2\n");
  CHECK_THROWS_WITH_AS(dataset_form("piqa").read(path),
                       doctest::Contains("valid-labels.lst, line 2: label: expected 0 or 1, got 2"), DataError);
}

TEST_CASE("SQuAD and XQuAD: every question of every paragraph, its different answers, the line it is on") {
  const std::string file = R"({"version": "1.1", "data": [
 {"title": "T", "paragraphs": [
  {"context": "Ada was born in 1815.", "qas": [
   {"answers": [{"answer_start": 16, "text": "1815"}, {"answer_start": 16, "text": "1815"},
                 {"answer_start": 13, "text": "in 1815"}],
    "id": "a", "question": "When { was \" she born?"},
   {"id": "b", "question": "Who?", "answers": [{"answer_start": 0, "text": "Ada"}]}]},
  {"context": "C", "qas": []}]}]})";
  for (const std::string name : {"squad", "xquad"}) {
    const auto rows = read(name, file);
    REQUIRE(rows.size() == 2);
    CHECK(joined(rows[0].prompt) == "context:Ada was born in 1815.|question:When { was \" she born?|answer:");
    CHECK(rows[0].references == Texts{"1815", "in 1815"});
    CHECK(rows[0].line == 4);
    CHECK(rows[1].line == 7);
    const auto context_of = [](const DatasetRow& row) -> std::string_view { return row.prompt.front().text; };
    CHECK(context_of(rows[0]).data() == context_of(rows[1]).data());  // kept once
  }
}

TEST_CASE("SQuAD: a question's answers take time in proportion to their number") {
  const auto seconds_for = [](bool different) {
    std::string answers;
    for (int i = 0; i < 30000; ++i)
      answers +=
          (i > 0 ? "," : "") + std::string("{\"text\": \"") + std::to_string(different ? 10000 + i : 10000) + "\"}";
    const auto start = std::clock();
    const auto rows =
        read("squad", R"({"data": [{"paragraphs": [{"context": "C", "qas": [{"question": "Q", "answers": [)" + answers +
                          "]}]}]}]}");
    CHECK(rows.at(0).references.size() == (different ? 30000 : 1));
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  const double same = seconds_for(false);
  CHECK(seconds_for(true) < 5 * same);
}

TEST_CASE("UCI sentiment: a sentence, a tab, a label") {
  const auto rows =
      read("uci_sentiment", "Wow... Loved this place.\t1\nA very, very slow movie.  \t0\r\ntab\tin it\t1\n");
  REQUIRE(rows.size() == 3);
  CHECK(joined(rows[0].prompt) == "sentence:Wow... Loved this place.|sentiment:");
  CHECK(rows[0].candidates == Texts{"negative", "positive"});
  CHECK(rows[0].answer == 1);
  CHECK(joined(rows[1].prompt) == "sentence:A very, very slow movie.|sentiment:");
  CHECK(rows[1].references == Texts{"negative"});
  CHECK(joined(rows[2].prompt) == "sentence:tab\tin it|sentiment:");
}

TEST_CASE("bad rows name file and line, and what was expected") {
  struct Case {
    const char *name, *contents, *says;
  };
  const std::vector<Case> cases = {
      {"scitldr", "{\"source\": [\"a\"], \"target\": [\"b\"]}\n{\"source\": \"a\", \"target\": [\"b\"]}",
       "FILE, line 2: field \"source\": expected a list of texts, got string"},
      {"scitldr", "{\"source\": [\"a\"], \"target\": []}",
       "FILE, line 1: field \"target\": expected a list of texts, got an empty one"},
      {"scitldr", "{\"source\": [\"a\", 1], \"target\": [\"b\"]}",
       "FILE, line 1: field \"source\": expected texts in the list, got number"},
      {"scitldr", "{\"source\": [\"a\"]", "FILE, line 1: row: expected one JSON object, got something else"},
      {"dialogsum", "{\"dialogue\": \"a\", \"dialogue\": \"b\"}",
       "FILE, line 1: row: expected every key once in an object, got \"dialogue\" twice"},
      {"scitldr", "\n[1]", "FILE: expected a list of objects, got number in it"},
      {"scitldr", "1", "FILE, line 1: row: expected a JSON object, got number"},
      {"dialogsum", "{\"dialogue\": \"a\", \"summary1\": 5}",
       "FILE, line 1: field \"summary1\": expected a text, got number"},
      {"dialogsum", "{\"dialogue\": \"a\"}", "FILE, line 1: field \"summary\": expected a text, got nothing"},
      {"webquestions", "[{\"question\": \"a\",\n\"answers\": [\"b\"]},\n\n{\"question\": \"a\"}]",
       "FILE, line 4: field \"answers\": expected a list of texts, got nothing"},
      {"webquestions", "[{\"question\": \"a\", \"answers\": [\"b\"]}", "FILE, line 1: expected JSON"},
      {"piqa", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": -1}",
       "FILE, line 1: field \"label\": expected 0 or 1, got -1"},
      {"piqa", "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}",
       "FILE, line 1: field \"label\": expected 0 or 1, here or in data-labels.lst beside the file, got neither"},
      {"xquad", "[]", "FILE: expected a JSON object, got array"},
      {"xquad", "{\"data\": [\n{\"paragraphs\": 1}]}",
       "FILE, line 2: field \"paragraphs\": expected a list of objects, got number"},
      {"xquad",
       "{\"data\": [{\"paragraphs\": [{\"context\": \"c\", \"qas\": [\n{\"question\": \"q\", \"answers\": []}]}]}]}",
       "FILE, line 2: field \"answers\": expected at least one, got none"},
      {"xquad",
       "{\"data\": [{\"paragraphs\": [{\n\"qas\": [\n{\"question\": \"q\", \"answers\": [{\"text\": \"a\"}]}]}]}]}",
       "FILE, line 3: field \"context\": expected a text, got nothing"},
      {"uci_sentiment", "good\t1\nbad 0\n", "FILE, line 2: row: expected a sentence, a tab and 0 or 1, got bad 0"},
      {"uci_sentiment", "good\t2\n", "FILE, line 1: row: expected a sentence, a tab and 0 or 1, got good"}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CAPTURE(c.contents);
    const std::string error = error_of(c.name, c.contents);
    CAPTURE(error);
    CHECK(error.find(c.says) != std::string::npos);
  }
}

TEST_CASE("an unknown data set is bad usage, with the known ones named") {
  CHECK_THROWS_WITH_AS(
      dataset_form("scitdlr"),
      doctest::Contains("expected one of scitldr, dialogsum, webquestions, squad, xquad, piqa, uci_sentiment"),
      UsageError);
}
