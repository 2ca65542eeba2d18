#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/regex.hpp"
#include "greentrainer/tokenizers/text_budget.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

/// One part of tokenizer.json, such as {"type": "Digits", "individual_digits": true}. Whatever is not understood is an
/// error: a tokenizer that leaves a part out gives other ids without anyone noticing.
class Component {
 public:
  /// `source` says where it stands: the file and the path to it. Throws LoadError unless it is an object.
  Component(const Json& json, std::string source) : json_(&json), source_(std::move(source)) {
    if (!json.is_object()) fail(text("expected an object, got ", json.type_name()));
  }

  const Json& json() const { return *json_; }
  const std::string& source() const { return source_; }
  std::string type() const { return text_of("type"); }

  [[noreturn]] void fail(const std::string& what) const { throw LoadError("load_tokenizer", source_, what); }

  /// For a type that is none of those known.
  [[noreturn]] void fail_unknown_type(std::string_view known) const {
    fail(text("expected one of ", known, ", got \"", type(), "\", which is not supported"));
  }

  /// Throws unless every field is "type" or one of these.
  void allow(std::initializer_list<std::string_view> fields) const {
    for (const auto& [key, value] : json_->items()) {
      bool known = key == "type";
      for (auto field : fields) known = known || key == field;
      if (!known)
        fail(text("expected no field \"", key, "\" in ", find("type") != nullptr ? type() : "it", ", got ",
                  value.dump(-1, ' ', true).substr(0, 40), "; it is not supported"));
    }
  }

  /// The field, or null where it is absent or null.
  const Json* find(std::string_view key) const {
    const auto found = json_->find(key);
    return found == json_->end() || found->is_null() ? nullptr : &*found;
  }
  const Json& at(std::string_view key) const {
    if (const Json* value = find(key)) return *value;
    fail(text("expected a field \"", key, "\", got none"));
  }

  std::string text_of(std::string_view key) const {
    const Json& value = at(key);
    if (!value.is_string()) fail(text("expected a text as \"", key, "\", got ", value.type_name()));
    return value.get<std::string>();
  }
  std::string character_of(std::string_view key) const {
    auto character = text_of(key);
    if (character.empty() || utf8_char_at(character, 0).length != character.size())
      fail(text("expected one character as \"", key, "\", got \"", character, '"'));
    return character;
  }
  bool flag_or(std::string_view key, bool fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) fail(text("expected true or false as \"", key, "\", got ", value->type_name()));
    return value->get<bool>();
  }
  std::size_t count_of(std::string_view key) const {
    const Json& value = at(key);
    if (!value.is_number_unsigned()) fail(text("expected a count as \"", key, "\", got ", value.type_name()));
    return value.get<std::size_t>();
  }
  std::vector<Component> list_of(std::string_view key) const {
    const Json& value = at(key);
    if (!value.is_array()) fail(text("expected a list as \"", key, "\", got ", value.type_name()));
    std::vector<Component> parts;
    for (const Json& part : value) parts.emplace_back(part, text(source_, '.', key, '[', parts.size(), ']'));
    return parts;
  }

 private:
  const Json* json_;
  std::string source_;
};

/// A range of bytes of a text, and whether a pattern matched it.
struct PatternRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool match = false;
};

/// What Split and Replace look for: {"String": "..."}, literally, or {"Regex": "..."}; or characters of a kind.
class TextPattern {
 public:
  /// Throws LoadError for other forms.
  explicit TextPattern(const Component& component) {
    component.allow({"String", "Regex"});
    if (component.find("Regex") != nullptr) {
      regex_.emplace(component.text_of("Regex"), component.source());
    } else {
      literal_ = component.text_of("String");
      if (literal_.empty()) component.fail("expected a pattern, got an empty text");
    }
  }
  explicit TextPattern(Regex regex) : regex_(std::move(regex)) {}
  static TextPattern literal(std::string text) { return TextPattern(std::move(text)); }
  /// Every character that `is` says yes to, by itself.
  static TextPattern characters(bool (*is)(char32_t)) {
    TextPattern pattern{std::string()};
    pattern.is_character_ = is;
    return pattern;
  }

  /// The whole text from left to right, cut into matches and what lies between; no empty ranges.
  /// Throws DataError for a text that the pattern takes too long on.
  std::vector<PatternRange> ranges(std::string_view text, TextBudget& budget) const {
    std::vector<PatternRange> result;
    std::size_t covered = 0;
    const auto add = [&](std::size_t begin, std::size_t end) {
      if (begin > covered) result.push_back({covered, begin, false});
      result.push_back({begin, end, true});
      covered = end;
    };
    if (regex_) {
      regex_->for_each_match(text, budget, add);
    } else if (is_character_ != nullptr) {
      for (std::size_t i = 0; i < text.size();) {
        const auto c = utf8_char_at(text, i);
        if (is_character_(c.code)) add(i, i + c.length);
        i += c.length;
      }
    } else {
      for (auto at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, covered))
        add(at, at + literal_.size());
    }
    if (covered < text.size()) result.push_back({covered, text.size(), false});
    return result;
  }

  /// Throws DataError for a text that the pattern takes too long on, or a result of more than the budget's size.
  /// `part`: of the tokenizer's file.
  TracedText replace(const TracedText& text, std::string_view content, TextBudget& budget,
                     std::string_view part) const {
    TracedText result = text.empty_copy();
    for (const auto& range : ranges(text.text(), budget)) {
      if (range.match)
        result.append_new(content, text, range.end - 1);
      else
        result.append(text, range.begin, range.end);
      budget.require_size(result.size(), part);
    }
    budget.wrote(result.size(), part);
    return result;
  }

 private:
  explicit TextPattern(std::string literal) : literal_(std::move(literal)) {}

  std::optional<Regex> regex_;
  bool (*is_character_)(char32_t) = nullptr;
  std::string literal_;
};

}  // namespace greentrainer
