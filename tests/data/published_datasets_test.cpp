// The data sets' own files, which are too large or not free to be checked in: every row is read.

#include <doctest/doctest.h>

#include "greentrainer/data/dataset_forms.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "support/paths.hpp"
#include "support/skip.hpp"

using namespace greentrainer;

TEST_CASE("every row of the published files is read") {
  const auto folder = testing::shared_folder() / "data";
  if (!std::filesystem::exists(folder / "piqa/valid.jsonl")) GREENTRAINER_SKIP("no GREENTRAINER_SHARED with data sets");
  struct File {
    const char *form, *path;
    std::size_t rows, references;  ///< references of all rows together
  };
  for (const File& file :
       {File{"scitldr", "scitldr/train.jsonl", 1992, 1992}, File{"scitldr", "scitldr/dev.jsonl", 619, 1453},
        File{"scitldr", "scitldr/test.jsonl", 618, 1967}, File{"dialogsum", "dialogsum/train.jsonl", 12460, 12460},
        File{"dialogsum", "dialogsum/dev.jsonl", 500, 500},
        File{"webquestions", "webquestions/trainmodel.json", 2834, 6668},
        File{"webquestions", "webquestions/test.json", 2032, 4863}, File{"piqa", "piqa/valid.jsonl", 1838, 1838},
        File{"xquad", "xquad/xquad.en.json", 1190, 1190},
        File{"uci_sentiment", "uci_sentiment/amazon_cells_labelled.txt", 1000, 1000},
        File{"uci_sentiment", "uci_sentiment/imdb_labelled.txt", 1000, 1000},
        File{"uci_sentiment", "uci_sentiment/yelp_labelled.txt", 1000, 1000}}) {
    CAPTURE(file.path);
    const auto rows = dataset_form(file.form).read(folder / file.path);
    CHECK(rows.size() == file.rows);
    std::size_t references = 0, positive = 0;
    Extent line = 0;
    for (const DatasetRow& row : rows) {
      references += row.references.size();
      positive += row.answer;
      CHECK(row.line > line);
      line = row.line;
    }
    CHECK(references == file.references);
    if (dataset_form(file.form).name == "uci_sentiment") CHECK(positive == 500);
    if (dataset_form(file.form).name == "piqa") CHECK(positive == 928);
  }
}
