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
  for (const char* pattern : {"[a[^b]]", "[a-[b]]", "[[a]-b]", "[]a]", "[^]a]", "[a&&b]", "[a", "[a[b]", "[[:alpha]",
                              "\\h", "\\w", "\\b", "[\\S]", "(?m)a", "(", "a{3,2}", "\\C"}) {
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
  for (int i = 0; i < 100; ++i) words += std::string(21, 'a') + ' ';
  for (const auto& [pattern, subject] :
       {std::pair{"(?:a|a)+b|a", words}, std::pair{"(?:a|a){12}b|a", std::string(100000, 'a')}}) {
    CAPTURE(pattern);
    CHECK_THROWS_AS(Regex(pattern, "test").for_each_match(subject, [](std::size_t, std::size_t) {}), DataError);
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
