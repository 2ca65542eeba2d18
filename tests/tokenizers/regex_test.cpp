#include "greentrainer/tokenizers/regex.hpp"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

using Texts = std::vector<std::string>;

Texts matches(std::string_view pattern, std::string_view subject) {
  Texts result;
  Regex(pattern, "test").for_each_match(subject, [&](std::size_t begin, std::size_t end) {
    result.emplace_back(subject.substr(begin, end - begin));
  });
  return result;
}

}  // namespace

TEST_CASE("brackets within brackets are a union, as Hugging Face's tokenizers (Oniguruma) match them") {
  CHECK(matches("[a[bc]d]+", "xabcdx") == Texts{"abcd"});
  CHECK(matches("[^a[bc]]+", "xxabcyy") == Texts{"xx", "yy"});
  CHECK(matches("[-a[b-]]+", "x-ab-x") == Texts{"-ab-"});
  CHECK(matches("[a[b[c-e]]f]+", "xabcdefx") == Texts{"abcdef"});
  CHECK(matches("[[:alpha:][0-3]]+", "..aé23 45") == Texts{"aé23"});
  CHECK(matches("[a\\s[\\]x]]+", "b a]x\tb") == Texts{" a]x\t"});
  CHECK(matches(" ?[^(\\s|[.,!?…。，、।۔،])]+", "Hi (a|b), yes… no") == Texts{"Hi", "a", "b", " yes", " no"});
}

TEST_CASE("white space is Unicode's White_Space, within brackets and without") {
  CHECK(matches("\\s+", "a\u00A0\u3000b\u180Ec") == Texts{"\u00A0\u3000"});
  CHECK(matches("[^\\s]+", "a\u00A0\u3000b\u180Ec") == Texts{"a", "b\u180Ec"});
}

TEST_CASE("what PCRE2 reads otherwise, or not at all, names the pattern and where it is from") {
  for (const char* pattern : {"[a[^b]]", "[a-[b]]",   "[[a]-b]",   "[]a]",    "[^]a]",         "[a&&b]",    "[a",
                              "[a[b]",   "[[:alpha]", "\\h",       "\\w",     "\\b",           "[\\S]",     "(?m)a",
                              "(",       "a{3,2}",    "\\C",       "(a+)\\1", "(?<n>a)\\k<n>", "(a)\\g1",   "(?R)",
                              "(a)(?1)", "(?P<n>a)",  "(?(1)a|b)", "(?C1)a",  "(?|a|b)",       "(*ACCEPT)", "\\X"}) {
    CAPTURE(pattern);
    const auto error = error_of<LoadError>([&] { Regex(pattern, "tokenizer.json, part"); });
    CHECK(has(error, "tokenizer.json, part: expected"));
    CHECK(has(error, pattern));
  }
}

TEST_CASE("a pattern that takes too long on a text is the text's error") {
  const Regex exponential("(a|a)+[bc]", "test");
  CHECK_THROWS_AS(exponential.for_each_match(std::string(60, 'a'), [](std::size_t, std::size_t) {}), DataError);
}

TEST_CASE(
    "a pattern that takes too many steps on a text altogether is the text's error, though none from a single place") {
  std::string words;
  for (int i = 0; i < 300; ++i) words += std::string(21, 'a') + ' ';
  for (const auto& [pattern, subject] :
       {std::pair{"(?:a|a)+b|a", words}, std::pair{"(?:a|a){12}b|a", std::string(100000, 'a')}}) {
    CAPTURE(pattern);
    CHECK_THROWS_AS(Regex(pattern, "test").for_each_match(subject, [](std::size_t, std::size_t) {}), DataError);
  }
}

TEST_CASE("possessive runs, atomic groups and assertions count all that they go over") {
  // PCRE2's own limits count none of these: every place of a run goes to its end.
  for (const char* pattern :
       {"a++b|x", "(?>a+)b|x", "a*+[bc]|x", "(?:a{2,}+b)+|x", "(?=a+$)ab|x", "(?=a++b)a|x", "[ab]++c|[ab]++d|x"}) {
    CAPTURE(std::string(pattern));
    const Regex regex(pattern, "test");
    const auto steps = [&](std::size_t length) {
      TextBudget budget(length, "test");
      regex.for_each_match(std::string(length, 'a') + "x", budget, [](std::size_t, std::size_t) {});
      return budget.spent();
    };
    const auto few = steps(1000);
    const auto more = steps(2000);
    CHECK(few > 1000 * 1000 / 2);  // each place is compared with all behind it
    CHECK(more > 3 * few);
    const std::string run(200000, 'a');
    TextBudget budget(run.size(), "test");
    const auto error = error_of<DataError>([&] { regex.for_each_match(run, budget, [](std::size_t, std::size_t) {}); });
    CHECK(has(error, "test: expected to match "));
    CHECK(has(error, "steps"));
  }
}

TEST_CASE("lookbehinds count how far they go back, where they fail too") {
  // Both go back 60,000 characters from each place; those that begin before the text fail there.
  for (const char* pattern : {"(?<=a{60000})b", "(?<=(?:a{250}){240})b"}) {
    CAPTURE(std::string(pattern));
    const Regex regex(pattern, "test");
    const std::string run(100000, 'a');
    TextBudget budget(run.size(), "test");
    const auto error = error_of<DataError>([&] { regex.for_each_match(run, budget, [](std::size_t, std::size_t) {}); });
    CHECK(has(error, "steps"));
  }
}

TEST_CASE("steps are linear in the length of a text for real patterns, whatever is repeated") {
  for (
      const char* pattern :
      {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
       R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"( ?[^(\s|[.,!?\x{2026}])]+)", R"(\p{N})", R"(\s)"}) {
    CAPTURE(pattern);
    const Regex regex(pattern, "test");
    for (const char* run : {"a", " ", "\n", "7", "-", "' ", "Ab 1,\n", "\u4F60", "\U0001F600 "}) {
      CAPTURE(run);
      const auto steps = [&](std::size_t length) {
        std::string subject;
        while (subject.size() < length) subject += run;
        TextBudget budget(subject.size(), "test");
        regex.for_each_match(subject, budget, [](std::size_t, std::size_t) {});
        return budget.spent();
      };
      const auto few = steps(10000);
      CHECK(steps(20000) < 2 * few + few / 4);
      CHECK(few < 10000 * 8000);  // half of what a text has
    }
  }
}

TEST_CASE("a match is the same whether its steps are counted or bounded") {
  // Runs longer than the window of a quick try, at every distance from its end, and a group that is always counted.
  const std::string pattern = R"( ?\p{L}+|\s+(?!\S)|\s+|(?:ab){2}-)";
  for (std::size_t length = 30; length < 70; ++length) {
    const std::string subject =
        std::string(length, 'x') + "  " + std::string(length, ' ') + "y\u00E9" + std::string(length, 'z') + "  \n";
    CHECK(matches(pattern, subject) == matches(R"( ?\p{L}+|\s+(?!\S)|\s+|abab-)", subject));
    CHECK(matches(pattern, subject) ==
          Texts{std::string(length, 'x'), std::string(length + 1, ' '), " y\u00E9" + std::string(length, 'z'), "  \n"});
  }
}

TEST_CASE("places that take many steps change no match, whether something matches there or not") {
  const std::string runs =
      "xy" + std::string(15, 'a') + "\u0434c" + std::string(16, 'a') + "b\u0434c" + std::string(3, 'a') + "c";
  CHECK(matches("(?:a|a)+b|c", runs) == Texts{"c", std::string(16, 'a') + "b", "c", "c"});
  CHECK(matches("(?:a|a)+b", runs) == Texts{std::string(16, 'a') + "b"});
  CHECK(matches("(?:a|a)+c", std::string(16, 'a')).empty());
}

TEST_CASE("real patterns go over long runs of characters") {
  const std::string pattern =
      R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";  // Llama 3's
  for (const char* run : {" ", "\u3000", "\n", "a", "\u0434", "-", "7", "' ", "\U0001F600"}) {
    std::string subject;
    while (subject.size() < 100000) subject += run;
    CAPTURE(run);
    std::size_t matched = 0;
    Regex(pattern, "test").for_each_match(subject + "x", [&](std::size_t begin, std::size_t end) {
      matched += end - begin;
    });
    CHECK(matched == subject.size() + 1);
  }
  std::string columns;
  for (int i = 0; i < 100; ++i) columns += "a" + std::string(5000, ' ') + "b\n";
  std::size_t count = 0;
  Regex(pattern, "test").for_each_match(columns, [&](std::size_t, std::size_t) { ++count; });
  CHECK(count == 400);  // "a", the spaces but the last, " b", the line's end
}

TEST_CASE("a pattern that takes too much memory on a text is the text's error, which shows the pattern's beginning") {
  std::string groups;
  for (int i = 0; i < 3000; ++i) groups += "()";
  const Regex pattern("(?:" + groups + "(.|.c))+b", "test");  // every repetition keeps all groups
  const std::string subject = std::string(20000, 'a') + "cb";
  const auto error = error_of<DataError>([&] { pattern.for_each_match(subject, [](std::size_t, std::size_t) {}); });
  CHECK(has(error, "test: expected to match (?:()()"));
  CHECK(has(error, "heap"));
  CHECK(error.size() < 300);
}
