#include "greentrainer/tokenizers/unigram.hpp"

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;

namespace {

std::vector<Index> ids_of(const Unigram& model, std::string_view text) {
  std::vector<PieceToken> tokens;
  TextBudget budget(text.size(), "test");
  model.tokenize(text, tokens, budget);
  std::vector<Index> ids;
  for (const PieceToken& token : tokens) ids.push_back(token.id);
  return ids;
}

/// The highest sum of scores over all ways to cut a text of ASCII into pieces and unknown characters.
double best_score(const std::vector<Unigram::Piece>& pieces, double unknown, const std::string& text) {
  if (text.empty()) return 0;
  double best = unknown + best_score(pieces, unknown, text.substr(1));
  for (const auto& [piece, score] : pieces) {
    if (piece.size() == 1 && text[0] == piece[0])
      best = score + best_score(pieces, unknown, text.substr(1));  // known: not unknown as well
  }
  for (const auto& [piece, score] : pieces) {
    if (text.starts_with(piece)) best = std::max(best, score + best_score(pieces, unknown, text.substr(piece.size())));
  }
  return best;
}

}  // namespace

TEST_CASE("the cut has the highest score of all cuts, for random vocabularies and texts") {
  for (std::uint64_t round = 0; round < 200; ++round) {
    CounterRandom random(0, "unigram", round);
    const auto word = [&](std::uint32_t longest) {
      std::string letters;
      for (std::uint32_t length = 1 + random.below(longest); length > 0; --length)
        letters += static_cast<char>('a' + random.below(3));
      return letters;
    };
    std::vector<Unigram::Piece> pieces = {{"?", -1}};
    std::set<std::string> seen;
    for (std::uint32_t count = random.below(10); count > 0; --count) {
      if (const auto piece = word(4); seen.insert(piece).second) pieces.push_back({piece, -1 - 9 * random.uniform()});
    }
    double unknown = 0;
    for (const auto& piece : pieces) unknown = std::min(unknown, piece.score - 10);
    const Unigram model(pieces, {.unk_id = 0}, "test");
    const std::string text = word(9);
    CAPTURE(text);

    // Unknown characters that stand together are one id: they are counted from the text.
    double score = 0;
    std::size_t known = 0;
    for (const Index id : ids_of(model, text)) {
      if (id == 0) continue;
      score += pieces[static_cast<std::size_t>(id)].score;
      known += pieces[static_cast<std::size_t>(id)].text.size();
    }
    score += unknown * static_cast<double>(text.size() - known);
    CHECK(score == doctest::Approx(best_score(pieces, unknown, text)).epsilon(1e-12));
  }
}

TEST_CASE("a run of unknown characters is one token; with byte fallback it is spelt, where all of it can be") {
  std::vector<Unigram::Piece> pieces = {{"<unk>", 0}, {"a", -1}};
  CHECK(ids_of(Unigram(pieces, {.unk_id = 0}, "test"), "aé€xa") == std::vector<Index>{1, 0, 1});
  for (const char* byte : {"<0xC3>", "<0xA9>", "<0x78>"}) pieces.push_back({byte, 0});
  const Unigram spelling(pieces, {.unk_id = 0, .byte_fallback = true}, "test");
  CHECK(ids_of(spelling, "aéxa") == std::vector<Index>{1, 2, 3, 4, 1});
  CHECK(ids_of(spelling, "aé€xa") == std::vector<Index>{1, 0, 1});
}

TEST_CASE("of two cuts with the same score the one whose last piece is longer stays, as in Hugging Face's tokenizers") {
  // The cut that was found first, from the left: a later one must be better.
  const Unigram model({{"<unk>", -5}, {"a", -1}, {"aa", -2}}, {.unk_id = 0}, "test");
  CHECK(ids_of(model, "aa") == std::vector<Index>{2});
  CHECK(ids_of(model, "aaa") == std::vector<Index>{1, 2});
}

TEST_CASE("a long text takes time in proportion: a hundred thousand characters without a break") {
  const Unigram model({{"<unk>", 0}, {"a", -1}, {"aa", -1.5}, {"aaaaaaaa", -3}}, {.unk_id = 0}, "test");
  CHECK(ids_of(model, std::string(100000, 'a')) == std::vector<Index>(12500, 3));
}
