#include "greentrainer/tokenizers/regex.hpp"

#include <string>
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
  for (const char* pattern : {"[a[^b]]", "[a-[b]]", "[[a]-b]", "[]a]", "[^]a]", "[a&&b]", "[a", "[a[b]", "[[:alpha]", "\\h", "\\w", "\\b", "[\\S]",
                              "(?m)a", "(", "a{3,2}"}) {
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
