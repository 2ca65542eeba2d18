#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace greentrainer {

namespace porter {

/// For each letter whether it is a consonant: none of a, e, i, o, u, and no y behind a consonant. Digits count as
/// consonants.
inline std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> flags;
  for (const char c : word) {
    const bool vowel = c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
    const bool after_consonant = !flags.empty() && flags.back();
    flags.push_back(!vowel && !(c == 'y' && after_consonant));
  }
  return flags;
}

/// Porter's m: how often a vowel is followed by a consonant.
inline int measure(std::string_view stem) {
  const std::vector<bool> consonant = consonants(stem);
  int m = 0;
  for (std::size_t i = 1; i < consonant.size(); ++i) m += !consonant[i - 1] && consonant[i] ? 1 : 0;
  return m;
}

inline bool has_vowel(std::string_view stem) {
  const std::vector<bool> consonant = consonants(stem);
  return std::find(consonant.begin(), consonant.end(), false) != consonant.end();
}

/// Porter's *d: "tt", "ss".
inline bool ends_in_double_consonant(std::string_view word) {
  const std::size_t n = word.size();
  return n >= 2 && word[n - 1] == word[n - 2] && consonants(word).back();
}

/// Porter's *o: consonant, vowel, consonant other than w, x, y ("hop"); and, in nltk, a word of just a vowel and a
/// consonant.
inline bool ends_in_short_syllable(std::string_view word) {
  const std::vector<bool> consonant = consonants(word);
  const std::size_t n = word.size();
  if (n == 2) return !consonant[0] && consonant[1];
  if (n < 3) return false;
  const char last = word.back();
  return consonant[n - 3] && !consonant[n - 2] && consonant[n - 1] && last != 'w' && last != 'x' && last != 'y';
}

struct Rule {
  std::string_view suffix, replacement;
};

/// Of the first rule whose suffix the word has: applies it if `condition(stem, rule)` holds. No further rule is tried
/// either way.
template <class Condition>
void apply_first(std::string& word, std::span<const Rule> rules, Condition condition) {
  for (const Rule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const std::string_view stem = std::string_view(word).substr(0, word.size() - rule.suffix.size());
    if (condition(stem, rule)) word.replace(stem.size(), rule.suffix.size(), rule.replacement);
    return;
  }
}

/// Plurals.
inline void step_1a(std::string& word) {
  if (word.ends_with("ies"))
    word.resize(word.size() - (word.size() == 4 ? 1 : 2));  // nltk: dies, die
  else if (word.ends_with("sses"))
    word.resize(word.size() - 2);
  else if (word.ends_with("s") && !word.ends_with("ss"))
    word.pop_back();
}

/// -eed, -ed, -ing.
inline void step_1b(std::string& word) {
  if (word.ends_with("ied")) return word.resize(word.size() - (word.size() == 4 ? 1 : 2));  // nltk: died, die
  if (word.ends_with("eed")) {
    if (measure(std::string_view(word).substr(0, word.size() - 3)) > 0) word.pop_back();
    return;
  }
  const std::size_t suffix = word.ends_with("ed") ? 2 : word.ends_with("ing") ? 3 : 0;
  if (suffix == 0 || !has_vowel(std::string_view(word).substr(0, word.size() - suffix))) return;
  word.resize(word.size() - suffix);
  if (word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz")) {
    word += 'e';
  } else if (ends_in_double_consonant(word)) {
    if (word.back() != 'l' && word.back() != 's' && word.back() != 'z') word.pop_back();
  } else if (measure(word) == 1 && ends_in_short_syllable(word)) {
    word += 'e';
  }
}

/// -y. In nltk: behind a consonant that is not the word's first letter, whether or not there is a vowel.
inline void step_1c(std::string& word) {
  if (word.size() > 2 && word.back() == 'y' && consonants(word)[word.size() - 2]) word.back() = 'i';
}

inline void step_2(std::string& word) {
  constexpr std::array rules = {
      Rule{"ational", "ate"}, Rule{"tional", "tion"}, Rule{"enci", "ence"},   Rule{"anci", "ance"},
      Rule{"izer", "ize"},    Rule{"bli", "ble"},     Rule{"alli", "al"},     Rule{"entli", "ent"},
      Rule{"eli", "e"},       Rule{"ousli", "ous"},   Rule{"ization", "ize"}, Rule{"ation", "ate"},
      Rule{"ator", "ate"},    Rule{"alism", "al"},    Rule{"iveness", "ive"}, Rule{"fulness", "ful"},
      Rule{"ousness", "ous"}, Rule{"aliti", "al"},    Rule{"iviti", "ive"},   Rule{"biliti", "ble"},
      Rule{"fulli", "ful"},   Rule{"logi", "log"}};
  // nltk: what -alli leaves goes through the step again (conditionalli, conditional, condition).
  if (word.ends_with("alli") && measure(std::string_view(word).substr(0, word.size() - 4)) > 0)
    word.resize(word.size() - 2);
  apply_first(word, rules, [](std::string_view stem, const Rule& rule) {
    if (rule.suffix == "logi")
      return measure(std::string(stem) + "l") > 0;  // nltk: the l belongs to the stem, so that geo- will do
    return measure(stem) > 0;
  });
}

inline void step_3(std::string& word) {
  constexpr std::array rules = {Rule{"icate", "ic"}, Rule{"ative", ""}, Rule{"alize", "al"}, Rule{"iciti", "ic"},
                                Rule{"ical", "ic"},  Rule{"ful", ""},   Rule{"ness", ""}};
  apply_first(word, rules, [](std::string_view stem, const Rule&) { return measure(stem) > 0; });
}

inline void step_4(std::string& word) {
  constexpr std::array rules = {Rule{"al", ""},    Rule{"ance", ""}, Rule{"ence", ""}, Rule{"er", ""},
                                Rule{"ic", ""},    Rule{"able", ""}, Rule{"ible", ""}, Rule{"ant", ""},
                                Rule{"ement", ""}, Rule{"ment", ""}, Rule{"ent", ""},  Rule{"ion", ""},
                                Rule{"ou", ""},    Rule{"ism", ""},  Rule{"ate", ""},  Rule{"iti", ""},
                                Rule{"ous", ""},   Rule{"ive", ""},  Rule{"ize", ""}};
  apply_first(word, rules, [](std::string_view stem, const Rule& rule) {
    return measure(stem) > 1 && (rule.suffix != "ion" || stem.back() == 's' || stem.back() == 't');
  });
}

/// A final e, and the second of two l.
inline void step_5(std::string& word) {
  if (word.ends_with("e")) {
    const std::string_view stem = std::string_view(word).substr(0, word.size() - 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_in_short_syllable(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(std::string_view(word).substr(0, word.size() - 1)) > 1) word.pop_back();
}

}  // namespace porter

/// The stem of a lower-case word, letter by letter as nltk's PorterStemmer in its default mode: Porter, "An algorithm
/// for suffix stripping", Program 14.3 (1980), with nltk's own rules and irregular forms. ROUGE counts on these.
inline std::string porter_stem(std::string word) {
  struct Irregular {
    std::string_view form, stem;
  };
  constexpr std::array irregular = {
      Irregular{"sky", "sky"},        Irregular{"skies", "sky"},        Irregular{"dying", "die"},
      Irregular{"lying", "lie"},      Irregular{"tying", "tie"},        Irregular{"news", "news"},
      Irregular{"innings", "inning"}, Irregular{"inning", "inning"},    Irregular{"outings", "outing"},
      Irregular{"outing", "outing"},  Irregular{"cannings", "canning"}, Irregular{"canning", "canning"},
      Irregular{"howe", "howe"},      Irregular{"proceed", "proceed"},  Irregular{"exceed", "exceed"},
      Irregular{"succeed", "succeed"}};
  for (const Irregular& entry : irregular) {
    if (word == entry.form) return std::string(entry.stem);
  }
  if (word.size() <= 2) return word;
  porter::step_1a(word);
  porter::step_1b(word);
  porter::step_1c(word);
  porter::step_2(word);
  porter::step_3(word);
  porter::step_4(word);
  porter::step_5(word);
  return word;
}

}  // namespace greentrainer
